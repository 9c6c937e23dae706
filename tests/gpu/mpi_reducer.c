/* mpi_reducer nccl|fast|staged|messages: many buckets over many trees, with gradients in the memory of the (emulated) GPU of
 * every rank. Every rank can compute every shard's gradient, so each checks the whole result against the tree's definition
 * (dt_tree_sum_f32), which is also the cpu's: bit for bit, but for fast, which on several ranks may only be close. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "core/device.h"

#define CHECK(condition, ...)                                         \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      fprintf(stderr, __VA_ARGS__);                                   \
      fprintf(stderr, "\n");                                          \
      MPI_Abort(MPI_COMM_WORLD, 1);                                   \
    }                                                                 \
  } while (0)
#define CALL(call) CHECK((call) == DT_OK, "%s", dt_error_text())

/* Odd sizes, fewer elements than ranks, none at all, slices of equal length for 1, 2, 3, 4 and 5 ranks; a gap behind each. The
 * largest comes last, so that received slices of one bucket would be written over by the next. Of 24 elements over 3 ranks one
 * rank sums 16, one 8, which is a third of all, and one none. */
static const int64_t bucket_sizes[] = {1, 7, 960, 0, 100, 24, 64, 4001};
enum { BUCKETS = sizeof bucket_sizes / sizeof bucket_sizes[0], GAP = 5, MAX_SHARDS = 40, ALIGN = 16 };

typedef struct kind {
  const char *name;
  int mode, transport;
} kind;
static const kind kinds[] = {
    {"nccl", DT_REDUCE_ORDERED, DT_TRANSPORT_NCCL},
    {"fast", DT_REDUCE_FAST, DT_TRANSPORT_NCCL},
    {"staged", DT_REDUCE_ORDERED, DT_TRANSPORT_STAGED},
    {"messages", DT_REDUCE_ORDERED, DT_TRANSPORT_MESSAGES},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

typedef struct trial {
  dt_comm *comm;
  dt_device *device;
  const kind *kind;
  dt_tree *tree;
  dt_bucket bucket[BUCKETS];
  int64_t elements; /* of a node */
  dt_reducer *reducer;
  float *host; /* [partials_max][elements]: what goes to the device and comes from it */
} trial;

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
  return x ^ (x >> 32);
}

/* Magnitudes over five decades: no two orders of addition agree for long. */
static float shard_value(int round, int shard, int64_t element) {
  uint64_t x = mix(((uint64_t)round << 48) ^ ((uint64_t)shard << 36) ^ (uint64_t)element ^ 0x12345);
  double scale = (double)(1 << (x & 15));
  return (float)(((double)(x >> 40) / (1 << 23) - 1.0) * scale);
}

/* Sum over the shards of a span, in the tree's order. */
static float tree_sum(int round, int first, int count, int64_t element) {
  float value[MAX_SHARDS];
  for (int s = 0; s < count; s++) value[s] = shard_value(round, first + s, element);
  return dt_tree_sum_f32(value, count);
}

static size_t block_bytes(const trial *t) {
  return (size_t)t->tree->partials_max * (size_t)t->elements * sizeof(float);
}

/* Roots hold their shards' sums; what must not be summed, or written, would show. */
static void fill(const trial *t, int round) {
  const dt_tree *tree = t->tree;
  for (size_t i = 0; i < block_bytes(t) / sizeof(float); i++) t->host[i] = 1e30f;
  for (int64_t e = 0; e < t->elements; e++) t->host[e] = -3;
  for (int i = tree->root_first; i < tree->root_first + tree->root_count; i++) {
    const dt_root *root = &tree->roots[i];
    for (int b = 0; b < BUCKETS; b++) {
      for (int64_t e = t->bucket[b].first; e < t->bucket[b].first + t->bucket[b].count; e++)
        t->host[root->partial * t->elements + e] = tree_sum(round, root->first_shard, root->shard_count, e);
    }
  }
  CALL(t->device->ops->upload(t->device, t->reducer->gradient, t->host, block_bytes(t)));
  CALL(t->device->ops->sync(t->device));
}

static void check(const trial *t, int round) {
  CALL(t->device->ops->sync(t->device));
  CALL(t->device->ops->download(t->device, t->host, t->reducer->gradient, block_bytes(t)));
  int bucket = 0;
  for (int64_t e = 0; e < t->elements; e++) {
    while (bucket + 1 < BUCKETS && e >= t->bucket[bucket].first + t->bucket[bucket].count) bucket++;
    bool inside = e >= t->bucket[bucket].first && e < t->bucket[bucket].first + t->bucket[bucket].count;
    float expected = inside ? tree_sum(round, 0, t->tree->shards, e) : -3, got = t->host[e];
    bool same = got == expected;
    if (inside && t->kind->mode == DT_REDUCE_FAST && t->tree->size > 1)
      same = fabs((double)got - (double)expected) <= 40 * 65536 * 6e-7;
    CHECK(same, "rank %d of %d, %d shards, round %d, bucket %d, element %lld: %.9g, expected %.9g", t->tree->rank,
          t->tree->size, t->tree->shards, round, bucket, (long long)(e - t->bucket[bucket].first), (double)got,
          (double)expected);
  }
}

static void begin_trial(trial *t, int shards, int limit) {
  t->elements = 0;
  for (int i = 0; i < BUCKETS; i++) {
    t->elements = (t->elements + GAP + ALIGN - 1) / ALIGN * ALIGN;
    t->bucket[i] = (dt_bucket){.first = t->elements, .count = bucket_sizes[i]};
    t->elements += bucket_sizes[i];
  }
  t->elements = (t->elements + ALIGN - 1) / ALIGN * ALIGN;
  CALL(dt_tree_create(shards, t->comm->size, t->comm->rank, limit, &t->tree));
  dt_reducer_options options = {
      .tree = t->tree,
      .mode = t->kind->mode,
      .transport = t->kind->transport,
      .dtype = DT_F32,
      .bucket = t->bucket,
      .bucket_count = BUCKETS,
      .partial_elements = t->elements,
  };
  CALL(t->device->ops->own_memory->reducer_create(t->device, t->comm, &options, &t->reducer));
  CHECK(t->comm->size > 1 || t->reducer->records, "one rank can record its steps");
  const char *library = t->reducer->library != NULL ? t->reducer->library : "nothing";
  CHECK((strncmp(library, "NCCL 2.", 7) == 0) == (t->kind->transport == DT_TRANSPORT_NCCL), "%s reduces", library);
  CALL(dt_alloc(1, block_bytes(t), &t->host));
}

static void end_trial(trial *t) {
  t->reducer->ops->destroy(&t->reducer);
  CHECK(t->reducer == NULL, "destroy leaves a pointer");
  free(t->host);
  dt_tree_destroy(&t->tree);
}

static void reduce(const trial *t) {
  const dt_reducer_ops *ops = t->reducer->ops;
  for (int i = BUCKETS - 1; i >= 0; i--) CALL(ops->begin(t->reducer, i));
  for (int i = BUCKETS - 1; i >= 0; i--) CALL(ops->end(t->reducer, i));
  if (ops->poll != NULL) CALL(ops->poll(t->reducer, 0));
}

static void run_trial(trial *t, int shards, int limit, int rounds) {
  begin_trial(t, shards, limit);
  for (int round = 0; round < rounds; round++) {
    fill(t, round);
    reduce(t);
    check(t, round);
  }
  end_trial(t);
}

/* Rounds in a row, with nobody waiting in between: with a root a rank each multiplies the sum by the number of ranks. */
static void run_without_waiting(trial *t) {
  enum { ROUNDS = 4 };
  begin_trial(t, t->comm->size, 0);
  CHECK(t->tree->partials_max == 1, "%d partial sums for a shard a rank", t->tree->partials_max);
  for (int64_t e = 0; e < t->elements; e++) t->host[e] = (float)((t->comm->rank + 1) * (e % 8));
  CALL(t->device->ops->upload(t->device, t->reducer->gradient, t->host, block_bytes(t)));
  CALL(t->device->ops->sync(t->device));
  for (int round = 0; round < ROUNDS; round++) reduce(t);
  CALL(t->device->ops->sync(t->device));
  CALL(t->device->ops->download(t->device, t->host, t->reducer->gradient, block_bytes(t)));
  int size = t->comm->size;
  for (int b = 0; b < BUCKETS; b++) {
    for (int64_t e = t->bucket[b].first; e < t->bucket[b].first + t->bucket[b].count; e++) {
      float expected = (float)(size * (size + 1) / 2 * (int)(e % 8)) * powf((float)size, ROUNDS - 1);
      CHECK(t->host[e] == expected, "after %d rounds, element %lld: %g, expected %g", ROUNDS, (long long)e, (double)t->host[e],
            (double)expected);
    }
  }
  end_trial(t);
}

int main(int argc, char **argv) {
  static const struct {
    int shards, limit, rounds;
  } trials[] = {{1, 0, 2}, {2, 0, 1}, {5, 0, 2}, {13, 1, 1}, {32, 4, 2}, {40, 0, 1}};
  int chosen = 0;
  while (chosen < KINDS && (argc != 2 || strcmp(argv[1], kinds[chosen].name) != 0)) chosen++;
  if (chosen == KINDS) return fprintf(stderr, "usage: mpi_reducer nccl|fast|staged|messages\n"), 2;
  trial t = {.kind = &kinds[chosen]};
  if (dt_comm_create(&argc, &argv, &t.comm) != DT_OK) return fprintf(stderr, "%s\n", dt_error_text()), 1;
  dt_device_options options = {.threads = 1, .local_rank = t.comm->local_rank, .transport = t.kind->transport};
  CALL(dt_gpu_create(&options, &t.device));
  for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++)
    run_trial(&t, trials[i].shards, trials[i].limit, trials[i].rounds);
  run_without_waiting(&t);
  t.device->ops->destroy(&t.device);
  t.comm->ops->destroy(&t.comm);
  return 0;
}
