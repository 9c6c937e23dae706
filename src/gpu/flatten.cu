/* FLATTEN takes a sample's [H, W, C] to the order [C, H, W], UNFLATTEN takes it back: transpositions of [H*W][C] and
 * [C][H*W]. A block turns a tile in shared memory, so that both sides are read and written along rows. */
#include "gpu/kernel.cuh"

enum { TILE = 32, TILE_ROWS = 8 }; /* a block is TILE x TILE_ROWS threads */

/* to[s][column][row] = from[s][row][column]; a block takes the tile blockIdx.x of all samples' tiles. */
template <class T>
static __global__ void transpose(const T *from, T *to, int rows, int columns) {
  __shared__ T tile[TILE][TILE + 1]; /* one column more, so that a column lies in distinct banks */
  const int across = (columns + TILE - 1) / TILE, tiles = across * ((rows + TILE - 1) / TILE);
  const int64_t sample = blockIdx.x / tiles, first = sample * rows * columns;
  const int index = (int)(blockIdx.x % tiles), row = index / across * TILE, column = index % across * TILE;
  const int x = (int)threadIdx.x % TILE, y = (int)threadIdx.x / TILE;
  for (int i = y; i < TILE && row + i < rows; i += TILE_ROWS) {
    if (column + x < columns) tile[i][x] = from[first + (int64_t)(row + i) * columns + column + x];
  }
  __syncthreads();
  for (int i = y; i < TILE && column + i < columns; i += TILE_ROWS) {
    if (row + x < rows) to[first + (int64_t)(column + i) * rows + row + x] = tile[x][i];
  }
}

static dt_status turn(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg from, dt_arg to) {
  const bool forward = instr->op == DT_OP_FLATTEN;
  const dt_gpu_values v = dt_gpu_values_of(run, instr, micro, forward ? from : to);
  const int rows = (int)(forward ? v.inner : v.channels), columns = (int)(forward ? v.channels : v.inner);
  const int64_t tiles = v.samples * ((rows + TILE - 1) / TILE) * ((columns + TILE - 1) / TILE);
  const void *in = dt_gpu_arg(run, instr, micro, from);
  void *out = dt_gpu_arg(run, instr, micro, to);
  DT_WITH_TYPE(dt_gpu_of(run)->type,
               DT_LAUNCH(transpose<T>, dim3((unsigned)tiles), dim3(TILE * TILE_ROWS), dt_gpu_stream(run, instr),
                         static_cast<const T *>(in), static_cast<T *>(out), rows, columns));
  return DT_OK;
}

dt_status dt_gpu_flatten(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return turn(run, instr, micro, DT_ARG_X, DT_ARG_Y);
}

dt_status dt_gpu_unflatten(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return turn(run, instr, micro, DT_ARG_DY, DT_ARG_DX);
}
