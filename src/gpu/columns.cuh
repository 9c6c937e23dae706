/* Sums over the rows of a matrix [rows][columns], one for each column: over samples and positions for each channel.
 *
 * The matrix is cut into tiles. A block is blockDim.x packs of V columns wide and blockDim.y lanes deep; its piece of the rows
 * is dealt to the lanes in turn, each lane sums its rows in order, and the lanes are folded as a tree. Where the rows make more
 * than one piece, the pieces' sums go to scratch [pieces][columns] and a second kernel folds them likewise. Tiles, and with
 * them the order of every sum, depend on the matrix and on V alone.
 *
 * A sum is a struct S for which S() is the empty sum and add() takes in another one. */
#ifndef DT_GPU_COLUMNS_CUH
#define DT_GPU_COLUMNS_CUH

#include "gpu/pack.cuh"

typedef struct dt_columns {
  int64_t rows, columns;
  int64_t piece; /* rows of a block */
  int pieces;
  dim3 grid, block; /* grid: x tiles of columns, y pieces */
} dt_columns;

enum {
  DT_COLUMNS_WHOLE = 2048, /* so many rows are one piece: a second launch would cost more */
  DT_COLUMNS_BLOCKS = 512, /* of a matrix of many rows, about */
  DT_COLUMNS_LANE = 16,    /* rows of a lane, at least */
  DT_COLUMNS_FINISH = 8,   /* columns of a block that folds pieces */
};

static inline int64_t dt_divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* Tiles of at most `packs` packs, and at most about `blocks` of them. */
static inline dt_columns dt_columns_cut(int64_t rows, int64_t columns, int width, int packs, int64_t blocks) {
  dt_columns cut = {};
  int across = 1;
  while (across < packs && across < columns / width) across *= 2;
  int lanes = DT_BLOCK / across;
  int64_t tiles = dt_divide_up(columns, (int64_t)across * width), most = blocks / tiles > 1 ? blocks / tiles : 1;
  int64_t pieces = dt_divide_up(rows, (int64_t)lanes * DT_COLUMNS_LANE);
  if (pieces > most) pieces = most;
  cut.rows = rows, cut.columns = columns;
  cut.piece = dt_divide_up(rows, pieces);
  cut.pieces = (int)dt_divide_up(rows, cut.piece);
  cut.block = dim3((unsigned)across, (unsigned)lanes);
  cut.grid = dim3((unsigned)tiles, (unsigned)cut.pieces);
  return cut;
}

/* Tiles for sums; width is the V of the kernels. */
static inline dt_columns dt_columns_of(int64_t rows, int64_t columns, int width) {
  if (rows > DT_COLUMNS_WHOLE) return dt_columns_cut(rows, columns, width, 32, DT_COLUMNS_BLOCKS);
  return dt_columns_cut(rows, columns, width, 4, 1);
}

/* Tiles for what is computed element by element with values that a column has in common. */
static inline dt_columns dt_columns_spread(int64_t rows, int64_t columns, int width) {
  return dt_columns_cut(rows, columns, width, 32, 1 << 14);
}

/* V for a matrix of T. */
template <class T>
static inline int dt_columns_width(int64_t columns) {
  return columns % dt_pack_width<T> == 0 ? dt_pack_width<T> : 1;
}

/* What one thread has to do: rows first, first + step, ... below end, V columns from `column`. */
typedef struct dt_lane {
  int64_t first, step, end, column;
  bool inside; /* the columns exist */
} dt_lane;

template <int V>
static inline __device__ dt_lane dt_lane_of(int64_t rows, int64_t piece, int64_t columns) {
  dt_lane lane;
  int64_t start = blockIdx.y * piece, column = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  lane.first = start + threadIdx.y;
  lane.step = blockDim.y;
  lane.end = start + piece < rows ? start + piece : rows;
  lane.inside = column < columns;
  lane.column = lane.inside ? column : 0;
  if (!lane.inside) lane.end = lane.first;
  return lane;
}

/* Folds the lanes of a block; lane 0 then holds the sums. All threads of the block take part; blockDim.y is a power of two, and
 * 8 or more where it is called twice. */
template <class S, int V>
static inline __device__ void dt_fold_lanes(S (&sum)[V]) {
  __shared__ S store[V][DT_BLOCK];
  int lane = (int)threadIdx.y, thread = (int)(threadIdx.y * blockDim.x + threadIdx.x);
  for (int half = (int)blockDim.y / 2; half > 0; half /= 2) {
    if (lane >= half && lane < 2 * half) {
      for (int v = 0; v < V; v++) store[v][thread] = sum[v];
    }
    __syncthreads();
    if (lane < half) {
      for (int v = 0; v < V; v++) sum[v].add(store[v][thread + half * (int)blockDim.x]);
    }
  }
}

/* Hands the sums of a block to end(column, sum) where they are complete, else to scratch. */
template <class S, int V, class End>
static inline __device__ void dt_columns_leave(S (&sum)[V], const dt_lane &lane, int64_t columns, S *partial, End end) {
  dt_fold_lanes<S, V>(sum);
  if (threadIdx.y > 0 || !lane.inside) return;
  for (int v = 0; v < V; v++) {
    if (gridDim.y == 1)
      end(lane.column + v, sum[v]);
    else
      partial[blockIdx.y * columns + lane.column + v] = sum[v];
  }
}

template <class S, class End>
__global__ void dt_columns_finish(const S *partial, int pieces, int64_t columns, End end) {
  int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  S sum[1] = {S()};
  for (int k = (int)threadIdx.y; column < columns && k < pieces; k += (int)blockDim.y) {
    sum[0].add(partial[k * columns + column]);
  }
  dt_fold_lanes<S, 1>(sum);
  if (threadIdx.y == 0 && column < columns) end(column, sum[0]);
}

/* Launches the second kernel; not where the rows are one piece. */
template <class S, class End>
static dt_status dt_columns_finish_launch(const dt_columns *cut, const void *partial, const End &end, cudaStream_t stream) {
  if (cut->pieces == 1) return DT_OK;
  dim3 grid((unsigned)dt_divide_up(cut->columns, DT_COLUMNS_FINISH)), block(DT_COLUMNS_FINISH, DT_BLOCK / DT_COLUMNS_FINISH);
  DT_LAUNCH((dt_columns_finish<S, End>), grid, block, stream, static_cast<const S *>(partial), cut->pieces, cut->columns, end);
  return DT_OK;
}

/* Scratch for the pieces' sums. */
static inline size_t dt_columns_bytes(const dt_columns *cut, size_t sum_bytes) {
  return cut->pieces == 1 ? 0 : (size_t)(cut->pieces * cut->columns) * sum_bytes;
}

#endif
