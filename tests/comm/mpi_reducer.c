/* mpi_reducer shared|messages|fast: many rounds of many buckets over many trees. Every rank can compute every shard's gradient,
 * so each checks the whole result against the tree's definition (dt_tree_sum), bit for bit; for fast against MPI's own sum. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/comm.h"

#define CHECK(condition, ...)                                         \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      fprintf(stderr, __VA_ARGS__);                                   \
      fprintf(stderr, "\n");                                          \
      MPI_Abort(MPI_COMM_WORLD, 1);                                   \
    }                                                                 \
  } while (0)

/* Odd sizes, fewer elements than ranks, none at all, and several chunks; a gap behind each. */
static const int64_t bucket_sizes[] = {1, 3, 7, 1000, 0, 40001, 64, 9000};
enum { BUCKETS = sizeof bucket_sizes / sizeof bucket_sizes[0], GAP = 5, MAX_SHARDS = 40 };

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
  return x ^ (x >> 32);
}

/* Magnitudes over five decades: no two orders of addition agree for long. */
static double shard_value(int round, int shard, int64_t element) {
  uint64_t x = mix(((uint64_t)round << 48) ^ ((uint64_t)shard << 36) ^ (uint64_t)element ^ 0x12345);
  double scale = (double)(1 << (x & 15));
  return ((double)(x >> 40) / (1 << 23) - 1.0) * scale;
}

typedef struct trial {
  dt_comm *comm;
  dt_tree *tree;
  dt_dtype dtype;
  bool exact;
  dt_bucket bucket[BUCKETS];
  int64_t elements;
  dt_reducer *reducer;
} trial;

static void store(const trial *t, int node, int64_t element, double value) {
  int64_t at = node * t->elements + element;
  if (t->dtype == DT_F64)
    ((double *)t->reducer->gradient)[at] = value;
  else
    ((float *)t->reducer->gradient)[at] = (float)value;
}

static double load(const trial *t, int node, int64_t element) {
  int64_t at = node * t->elements + element;
  return t->dtype == DT_F64 ? ((double *)t->reducer->gradient)[at] : ((float *)t->reducer->gradient)[at];
}

/* Sum over the shards of a span, in the tree's order, rounded as the reducer's type rounds. */
static double tree_sum(const trial *t, int round, int first, int count, int64_t element) {
  double d[MAX_SHARDS];
  float f[MAX_SHARDS];
  for (int s = 0; s < count; s++) {
    d[s] = shard_value(round, first + s, element);
    f[s] = (float)d[s];
  }
  return t->dtype == DT_F64 ? dt_tree_sum_f64(d, count) : dt_tree_sum_f32(f, count);
}

static void fill_bucket(const trial *t, int round, const dt_bucket *b) {
  const dt_tree *tree = t->tree;
  for (int node = 0; node < tree->partials_max; node++) {
    for (int64_t e = b->first; e < b->first + b->count; e++) store(t, node, e, 1e30); /* what must not be summed shows */
  }
  for (int i = tree->root_first; i < tree->root_first + tree->root_count; i++) {
    const dt_root *root = &tree->roots[i];
    for (int64_t e = b->first; e < b->first + b->count; e++) {
      store(t, root->partial, e, tree_sum(t, round, root->first_shard, root->shard_count, e));
    }
  }
}

static void check_bucket(const trial *t, int round, int index) {
  const dt_bucket *b = &t->bucket[index];
  for (int64_t e = b->first; e < b->first + b->count; e++) {
    double expected = tree_sum(t, round, 0, t->tree->shards, e), got = load(t, 0, e);
    bool same = t->exact ? got == expected : fabs(got - expected) <= 40 * 65536 * (t->dtype == DT_F64 ? 1e-15 : 6e-7);
    CHECK(same, "rank %d of %d, %d shards, %s, round %d, bucket %d, element %lld: %.17g, expected %.17g", t->tree->rank,
          t->tree->size, t->tree->shards, dt_dtype_name(t->dtype), round, index, (long long)(e - b->first), got, expected);
  }
}

/* Ranks drift apart by up to a millisecond, now and then. */
static void drift(const trial *t, int round, int at) {
  uint64_t x = mix((uint64_t)(round * 1000 + at * 10 + t->comm->rank + 77));
  if (x % 8 == 0) usleep((useconds_t)(x >> 40) % 1000);
}

static void run_round(const trial *t, int round) {
  for (int i = BUCKETS - 1; i >= 0; i--) {
    fill_bucket(t, round, &t->bucket[i]);
    drift(t, round, i);
    CHECK(t->reducer->ops->begin(t->reducer, i) == DT_OK, "begin: %s", dt_error_text());
  }
  for (int i = BUCKETS - 1; i >= 0; i--) {
    drift(t, round, i + BUCKETS);
    CHECK(t->reducer->ops->end(t->reducer, i) == DT_OK, "end: %s", dt_error_text());
    check_bucket(t, round, i);
  }
  for (int i = 0; i < BUCKETS; i++)
    CHECK(load(t, 0, t->bucket[i].first - GAP) == -3, "round %d: written outside bucket %d", round, i);
}

static void run_trial(dt_comm *comm, int kind, dt_dtype dtype, int shards, int limit, int rounds) {
  trial t = {.comm = comm, .dtype = dtype, .exact = kind < 2};
  for (int i = 0; i < BUCKETS; i++) {
    t.elements += GAP;
    t.bucket[i] = (dt_bucket){.first = t.elements, .count = bucket_sizes[i]};
    t.elements += bucket_sizes[i];
  }
  CHECK(dt_tree_create(shards, comm->size, comm->rank, limit, &t.tree) == DT_OK, "%s", dt_error_text());
  dt_reducer_options options = {
      .tree = t.tree,
      .mode = kind == 2 ? DT_REDUCE_FAST : DT_REDUCE_ORDERED,
      .transport = kind == 1 ? DT_TRANSPORT_MESSAGES : DT_TRANSPORT_SHARED,
      .dtype = dtype,
      .bucket = t.bucket,
      .bucket_count = BUCKETS,
      .partial_elements = t.elements,
  };
  CHECK(comm->ops->reducer_create(comm, &options, &t.reducer) == DT_OK, "%s", dt_error_text());
  CHECK((uintptr_t)t.reducer->gradient % 64 == 0, "gradient block at %p", t.reducer->gradient);
  for (int i = 0; i < BUCKETS; i++) {
    for (int64_t e = 1; e <= GAP; e++) store(&t, 0, t.bucket[i].first - e, -3);
  }
  for (int round = 0; round < rounds; round++) run_round(&t, round);
  t.reducer->ops->destroy(&t.reducer);
  CHECK(t.reducer == NULL, "destroy leaves a pointer");
  dt_tree_destroy(&t.tree);
}

/* Small buckets in quick succession, where races would show. */
static void run_many_rounds(dt_comm *comm, int kind) {
  enum { ROUNDS = 300 };
  dt_tree *tree = NULL;
  dt_bucket bucket[2] = {{.first = 0, .count = 100}, {.first = 100, .count = 20000}};
  CHECK(dt_tree_create(comm->size, comm->size, comm->rank, 0, &tree) == DT_OK, "%s", dt_error_text());
  dt_reducer_options options = {.tree = tree,
                                .mode = kind == 2 ? DT_REDUCE_FAST : DT_REDUCE_ORDERED,
                                .transport = kind == 1 ? DT_TRANSPORT_MESSAGES : DT_TRANSPORT_SHARED,
                                .dtype = DT_F32,
                                .bucket = bucket,
                                .bucket_count = 2,
                                .partial_elements = 20100};
  dt_reducer *reducer = NULL;
  CHECK(comm->ops->reducer_create(comm, &options, &reducer) == DT_OK, "%s", dt_error_text());
  float *g = reducer->gradient, ranks = (float)(comm->size * (comm->size + 1) / 2);
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < 20100; i++) g[i] = (float)((comm->rank + 1) * ((i + round) % 64));
    for (int i = 0; i < 2; i++) CHECK(reducer->ops->begin(reducer, i) == DT_OK, "begin: %s", dt_error_text());
    for (int i = 0; i < 2; i++) CHECK(reducer->ops->end(reducer, i) == DT_OK, "end: %s", dt_error_text());
    for (int i = 0; i < 20100; i++)
      CHECK(g[i] == ranks * (float)((i + round) % 64), "round %d, element %d: %g", round, i, g[i]);
  }
  reducer->ops->destroy(&reducer);
  dt_tree_destroy(&tree);
}

int main(int argc, char **argv) {
  static const char *const kinds[] = {"shared", "messages", "fast"};
  static const struct {
    int shards, limit, rounds;
  } trials[] = {{1, 0, 2}, {2, 0, 2}, {5, 0, 2}, {8, 0, 2}, {13, 1, 1}, {32, 4, 2}, {40, 0, 1}};
  int kind = 0;
  while (kind < 3 && (argc != 2 || strcmp(argv[1], kinds[kind]) != 0)) kind++;
  if (kind == 3) return fprintf(stderr, "usage: mpi_reducer shared|messages|fast\n"), 2;
  dt_comm *comm = NULL;
  if (dt_comm_create(&argc, &argv, &comm) != DT_OK) return fprintf(stderr, "%s\n", dt_error_text()), 1;
  for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
    run_trial(comm, kind, i % 2 == 0 ? DT_F32 : DT_F64, trials[i].shards, trials[i].limit, trials[i].rounds);
  }
  run_many_rounds(comm, kind);
  CHECK(atomic_load(&comm->sequence) > 1000, "collectives are not counted");
  comm->ops->destroy(&comm);
  return 0;
}
