#include "comm/bench.h"

#include <stdlib.h>
#include <string.h>

#include "comm/mpi_comm.h"

enum { SIZES = 32, ROUNDS = 9, LEAST_ROUNDS = 3, MOST_REPEATS = 1000 };
static const double sample_seconds = 0.002; /* short collectives are repeated until a sample takes as long */

typedef enum method { METHOD_MPI, METHOD_SHARED, METHOD_MESSAGES, METHOD_FAST, METHOD_COUNT } method;

static const struct {
  const char *name;
  int mode, transport;
} methods[METHOD_COUNT] = {
    [METHOD_MPI] = {"MPI_Allreduce", 0, 0},
    [METHOD_SHARED] = {"ordered/shared", DT_REDUCE_ORDERED, DT_TRANSPORT_SHARED},
    [METHOD_MESSAGES] = {"ordered/messages", DT_REDUCE_ORDERED, DT_TRANSPORT_MESSAGES},
    [METHOD_FAST] = {"fast", DT_REDUCE_FAST, DT_TRANSPORT_AUTO},
};

/* Every size is a bucket from element 0 on: they are reduced one at a time. */
typedef struct bench {
  mpi_comm *comm;
  dt_tree *tree;
  dt_bucket bucket[SIZES];
  int bucket_count;
  dt_reducer *reducer[METHOD_COUNT]; /* NULL: MPI itself, or not to be had here */
  void *plain;
} bench;

static bool is_measured(const bench *b, method m) {
  return m == METHOD_MPI || b->reducer[m] != NULL;
}

static dt_status run_once(bench *b, method m, int bucket) {
  dt_reducer *r = b->reducer[m];
  if (r == NULL) {
    DT_MPI(MPI_Allreduce(MPI_IN_PLACE, b->plain, (int)b->bucket[bucket].count, MPI_FLOAT, MPI_SUM, b->comm->world));
    return DT_OK;
  }
  DT_TRY(r->ops->begin(r, bucket));
  return r->ops->end(r, bucket);
}

/* Seconds of one collective, the slowest rank's; the same on every rank. */
static dt_status sample(bench *b, method m, int bucket, int repeats, double *out) {
  DT_MPI(MPI_Barrier(b->comm->world));
  double start = dt_clock_seconds();
  for (int i = 0; i < repeats; i++) DT_TRY(run_once(b, m, bucket));
  *out = (dt_clock_seconds() - start) / repeats;
  DT_MPI(MPI_Allreduce(MPI_IN_PLACE, out, 1, MPI_DOUBLE, MPI_MAX, b->comm->world));
  return DT_OK;
}

static int compare_double(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *value, int count) {
  qsort(value, (size_t)count, sizeof *value, compare_double);
  return count % 2 == 1 ? value[count / 2] : 0.5 * (value[count / 2 - 1] + value[count / 2]);
}

/* Medians of one size; decisions come from reduced times, so that ranks decide alike. */
static dt_status measure(bench *b, int bucket, double seconds, double *out) {
  double value[METHOD_COUNT][ROUNDS], spent = 0;
  int repeats[METHOD_COUNT] = {0}, rounds = 0;
  for (method m = 0; m < METHOD_COUNT; m++) {
    if (!is_measured(b, m)) continue;
    double cold = 0, warm = 0;
    DT_TRY(sample(b, m, bucket, 1, &cold));
    DT_TRY(sample(b, m, bucket, cold < 1e-3 ? 10 : 1, &warm));
    repeats[m] = warm * MOST_REPEATS < sample_seconds ? MOST_REPEATS : 1 + (int)(sample_seconds / warm);
  }
  for (; rounds < ROUNDS && (rounds < LEAST_ROUNDS || spent < seconds); rounds++) {
    for (method m = 0; m < METHOD_COUNT; m++) {
      if (!is_measured(b, m)) continue;
      DT_TRY(sample(b, m, bucket, repeats[m], &value[m][rounds]));
      spent += value[m][rounds] * repeats[m];
    }
  }
  for (method m = 0; m < METHOD_COUNT; m++) out[m] = is_measured(b, m) ? median(value[m], rounds) : 0;
  return DT_OK;
}

static void print_head(const bench *b, FILE *out) {
  fprintf(out, "all-reduce of floats over %d ranks (%d on this host); bus bandwidth in GB/s, and ratio to MPI_Allreduce\n",
          b->comm->base.size, b->comm->base.local_size);
  fprintf(out, "%12s %12s %9s", "bytes", "MPI us", "MPI");
  for (method m = METHOD_SHARED; m < METHOD_COUNT; m++) {
    if (is_measured(b, m)) fprintf(out, " %18s", methods[m].name);
  }
  fprintf(out, "\n");
}

static void print_line(const bench *b, int bucket, const double *seconds, FILE *out) {
  double bytes = 4.0 * (double)b->bucket[bucket].count, size = b->comm->base.size;
  double bus = 2 * (size - 1) / size * bytes * 1e-9;
  fprintf(out, "%12.0f %12.1f %9.2f", bytes, seconds[METHOD_MPI] * 1e6, bus / seconds[METHOD_MPI]);
  for (method m = METHOD_SHARED; m < METHOD_COUNT; m++) {
    if (is_measured(b, m)) fprintf(out, " %9.2f (%5.2fx)", bus / seconds[m], seconds[METHOD_MPI] / seconds[m]);
  }
  fprintf(out, "\n");
  fflush(out);
}

static dt_status create_reducers(bench *b) {
  const dt_comm *base = &b->comm->base;
  int64_t elements = b->bucket[b->bucket_count - 1].count;
  DT_TRY(dt_tree_create(base->size, base->size, base->rank, 0, &b->tree));
  for (method m = METHOD_SHARED; m < METHOD_COUNT; m++) {
    if (m == METHOD_SHARED && base->local_size != base->size) continue;
    dt_reducer_options options = {.tree = b->tree,
                                  .mode = methods[m].mode,
                                  .transport = methods[m].transport,
                                  .dtype = DT_F32,
                                  .bucket = b->bucket,
                                  .bucket_count = b->bucket_count,
                                  .partial_elements = elements};
    dt_status status = base->ops->reducer_create(&b->comm->base, &options, &b->reducer[m]);
    if (m == METHOD_SHARED && status == DT_ENVIRONMENT) {
      dt_error_clear(); /* no shared memory to be had here, on any rank: the others are measured */
    } else {
      DT_TRY(status);
    }
  }
  return dt_block_alloc((size_t)elements * sizeof(float), &b->plain);
}

static dt_status run(bench *b, double seconds, FILE *out) {
  DT_TRY(dt_comm_agree(&b->comm->base, create_reducers(b)));
  if (b->comm->base.rank == 0) print_head(b, out);
  for (int i = 0; i < b->bucket_count; i++) {
    double median_seconds[METHOD_COUNT];
    DT_TRY(measure(b, i, seconds / b->bucket_count, median_seconds));
    if (b->comm->base.rank == 0) print_line(b, i, median_seconds, out);
  }
  return DT_OK;
}

dt_status dt_bench_allreduce(dt_comm *comm, const dt_bench_options *options, FILE *out) {
  int64_t least = options->min_bytes > 0 ? options->min_bytes : 1 << 10;
  int64_t most = options->max_bytes > 0 ? options->max_bytes : 1 << 28;
  DT_REQUIRE(comm->size > 1, DT_USAGE, "an all-reduce of one rank has nothing to measure; start with `mpirun -np 2 ...`");
  DT_REQUIRE(least >= 4 && least <= most && most <= (int64_t)1 << 32, DT_USAGE,
             "sizes from %lld to %lld bytes: expected 4 <= smallest <= largest <= 4294967296", (long long)least,
             (long long)most);
  bench b = {.comm = (mpi_comm *)comm};
  for (int64_t bytes = least; bytes <= most && b.bucket_count < SIZES; bytes *= 4) {
    b.bucket[b.bucket_count++] = (dt_bucket){.first = 0, .count = bytes / (int64_t)sizeof(float)};
  }
  dt_status status = run(&b, options->seconds > 0 ? options->seconds : 20, out);
  for (method m = METHOD_COUNT - 1; m > METHOD_MPI; m--) {
    if (b.reducer[m] != NULL) b.reducer[m]->ops->destroy(&b.reducer[m]);
  }
  free(b.plain);
  dt_tree_destroy(&b.tree);
  return status;
}
