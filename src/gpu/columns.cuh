/* Sums over the rows of a matrix [rows][columns], one for each column: over samples and positions for each channel.
 *
 * The matrix is cut into tiles. A block is blockDim.x packs of V columns wide and blockDim.y lanes deep; its piece of the rows
 * is dealt to the lanes in turn, each lane sums its rows in order, and the lanes are folded in a fixed order. Where the rows
 * make more than one piece, the pieces' sums go to scratch [pieces][columns] and a second kernel folds them likewise. Tiles,
 * and with them the order of every sum, depend on the matrix and on V alone.
 *
 * Several matrices of one shape, the shards of a micro-batch, are summed by one launch, each as if it were alone: blockIdx.z is
 * the matrix, whose scratch stands behind that of the one before.
 *
 * A sum is a struct S for which S() is the empty sum and add() takes in another one. */
#ifndef DT_GPU_COLUMNS_CUH
#define DT_GPU_COLUMNS_CUH

#include "gpu/pack.cuh"

typedef struct dt_columns {
  int64_t rows, columns;
  int64_t piece; /* rows of a block */
  int pieces;
  dim3 grid, block; /* grid: x tiles of columns, y pieces, z shards */
} dt_columns;

enum {
  DT_COLUMNS_WHOLE = 2048,  /* so many rows are one piece: a second launch would cost more */
  DT_COLUMNS_SUMS = 396,    /* blocks for sums, at most: three for each multiprocessor of an H200, all there at once */
  DT_COLUMNS_SPREAD = 4096, /* blocks for what is computed element by element, at most about */
  DT_COLUMNS_ROUND = 4,     /* rows of a lane that are on their way at once; a piece is whole rounds of all lanes */
  DT_COLUMNS_NARROW = 16,   /* columns of a narrow tile: 32 bytes, by which memory is read, in 16-bit types */
  DT_COLUMNS_FINISH = 8,    /* columns of a block that folds pieces */
  DT_COLUMNS_AHEAD = 8,     /* pieces of a lane that are on their way at once there */
};

static inline int64_t dt_divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* Tiles of at most `packs` packs, and at most about `blocks` of them; rows are those of a shard. */
static inline dt_columns dt_columns_cut(int shards, int64_t rows, int64_t columns, int width, int packs, int64_t blocks) {
  dt_columns cut = {};
  int across = 1;
  while (across < packs && across < columns / width) across *= 2;
  int lanes = DT_BLOCK / across;
  int64_t tiles = dt_divide_up(columns, (int64_t)across * width), most = blocks / tiles > 1 ? blocks / tiles : 1;
  int64_t round = (int64_t)lanes * DT_COLUMNS_ROUND;
  cut.rows = rows, cut.columns = columns;
  cut.piece = dt_divide_up(dt_divide_up(rows, most), round) * round;
  cut.pieces = (int)dt_divide_up(rows, cut.piece);
  cut.block = dim3((unsigned)across, (unsigned)lanes);
  cut.grid = dim3((unsigned)tiles, (unsigned)cut.pieces, (unsigned)shards);
  return cut;
}

/* Tiles for sums; width is the V of the kernels. Where rows are one piece, tiles are narrow, so that there are many. */
static inline dt_columns dt_columns_of(int shards, int64_t rows, int64_t columns, int width) {
  if (rows > DT_COLUMNS_WHOLE) return dt_columns_cut(shards, rows, columns, width, 32, DT_COLUMNS_SUMS);
  return dt_columns_cut(shards, rows, columns, width, width > 1 ? DT_COLUMNS_NARROW / width : 4, 1);
}

/* Tiles for what is computed element by element with values that a column has in common. */
static inline dt_columns dt_columns_spread(int shards, int64_t rows, int64_t columns, int width) {
  return dt_columns_cut(shards, rows, columns, width, 32, DT_COLUMNS_SPREAD);
}

/* V for a matrix of T. */
template <class T>
static inline int dt_columns_width(int64_t columns) {
  return columns % dt_pack_width<T> == 0 ? dt_pack_width<T> : 1;
}

/* What one thread has to do: V columns from `column` of `rows` rows, the first of which is `row`, `step` apart; the first
 * element is `at`, and `stride` leads from a row to the next. No rows where the columns do not exist. */
typedef struct dt_lane {
  int64_t row, column, at, stride;
  int step, rows;
} dt_lane;

/* How many of a lane's rows come before row `end`. */
static inline __device__ int dt_lane_before(const dt_lane &lane, int64_t end) {
  if (end <= lane.row) return 0;
  if (end - lane.row >= (int64_t)lane.rows * lane.step) return lane.rows;
  return (int)(((unsigned)(end - lane.row) - 1) / (unsigned)lane.step + 1);
}

template <int V>
static inline __device__ dt_lane dt_lane_of(int64_t rows, int64_t piece, int64_t columns) {
  dt_lane lane;
  lane.step = (int)blockDim.y;
  lane.row = blockIdx.y * piece + threadIdx.y;
  lane.column = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  lane.rows = lane.column < columns ? (int)((unsigned)piece / blockDim.y) : 0;
  lane.rows = dt_lane_before(lane, rows);
  lane.at = lane.row * columns + lane.column;
  lane.stride = lane.step * columns;
  return lane;
}

/* Whose sum a thread has after a fold. */
typedef struct dt_folded {
  int64_t column;
  bool is_owner; /* this thread has the block's sum for an existing column */
} dt_folded;

/* Folds the lanes of a block: the sums sum[V] of every thread become the sum `out` of a column in each owner. All threads of
 * the block take part; blockDim is a power of two in both directions, DT_BLOCK together, and blockDim.y is V or more.
 *
 * A thread first adds up V neighbouring lanes of a single column, so that all threads have as much to do; what is left of a
 * column then lies with several groups of threads, which are folded as a tree. */
template <class S, int V>
static inline __device__ dt_folded dt_fold_lanes(const S (&sum)[V], int64_t columns, S *out) {
  __shared__ S store[V * (DT_BLOCK + DT_WARP)]; /* rows of a v begin in different banks */
  const int across = (int)blockDim.x, thread = (int)threadIdx.y * across + (int)threadIdx.x, stride = DT_BLOCK + across;
  const int wide = across * V, v = thread / across % V, group = thread / wide, pack = thread % across;
  *out = sum[0];
  if (V > 1) {
    for (int i = 0; i < V; i++) store[i * stride + thread] = sum[i];
    __syncthreads();
    const S *lane = store + v * stride + group * wide + pack;
    *out = lane[0];
    for (int i = 1; i < V; i++) out->add(lane[i * across]);
    __syncthreads();
  }
  for (int half = DT_BLOCK / wide / 2; half > 0; half /= 2) {
    if (group >= half && group < 2 * half) store[thread] = *out;
    __syncthreads();
    if (group < half) out->add(store[thread + half * wide]);
  }
  dt_folded place;
  place.column = ((int64_t)blockIdx.x * across + pack) * V + v;
  place.is_owner = group == 0 && place.column < columns;
  return place;
}

/* Hands the sums of a block to end(shard, column, sum) where they are complete, else to scratch. */
template <class S, int V, class End>
static inline __device__ void dt_columns_leave(const S (&sum)[V], int64_t columns, S *partial, End end) {
  S total;
  const dt_folded at = dt_fold_lanes<S, V>(sum, columns, &total);
  if (!at.is_owner) return;
  if (gridDim.y == 1)
    end((int)blockIdx.z, at.column, total);
  else
    partial[((int64_t)blockIdx.z * gridDim.y + blockIdx.y) * columns + at.column] = total;
}

template <class S, class End>
__global__ void dt_columns_finish(const S *partial, int pieces, int64_t columns, End end) {
  const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, lanes = blockDim.y;
  S sum[1] = {S()}, total;
  partial += (int64_t)blockIdx.z * pieces * columns;
  for (int64_t k = threadIdx.y; column < columns && k < pieces; k += DT_COLUMNS_AHEAD * lanes) {
    S read[DT_COLUMNS_AHEAD];
    for (int i = 0; i < DT_COLUMNS_AHEAD; i++) {
      read[i] = k + i * lanes < pieces ? partial[(k + i * lanes) * columns + column] : S();
    }
    for (int i = 0; i < DT_COLUMNS_AHEAD; i++) sum[0].add(read[i]);
  }
  const dt_folded at = dt_fold_lanes<S, 1>(sum, columns, &total);
  if (at.is_owner) end((int)blockIdx.z, at.column, total);
}

/* Launches the second kernel; not where the rows are one piece. */
template <class S, class End>
static dt_status dt_columns_finish_launch(const dt_columns *cut, const void *partial, const End &end, cudaStream_t stream) {
  if (cut->pieces == 1) return DT_OK;
  dim3 grid((unsigned)dt_divide_up(cut->columns, DT_COLUMNS_FINISH), 1, cut->grid.z),
      block(DT_COLUMNS_FINISH, DT_BLOCK / DT_COLUMNS_FINISH);
  DT_LAUNCH((dt_columns_finish<S, End>), grid, block, stream, static_cast<const S *>(partial), cut->pieces, cut->columns, end);
  return DT_OK;
}

/* Scratch for the pieces' sums. */
static inline size_t dt_columns_bytes(const dt_columns *cut, size_t sum_bytes) {
  return cut->pieces == 1 ? 0 : (size_t)(cut->grid.z * cut->pieces * cut->columns) * sum_bytes;
}

#endif
