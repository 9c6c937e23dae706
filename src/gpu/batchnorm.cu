/* Batch normalisation over the rows [samples * H * W][C] of a shard; the formulas stand in cpu/reference_norm.c. Samples fill
 * the first places, so that what counts is the first m rows, m = filled * H * W; the rest gets zeros. A launch does all shards
 * of the micro-batch, blockIdx.z being the shard; their sums for the gradient block go to scratch and are folded by the tree.
 *
 * Forward: moments of pieces of the rows, their fold, the output. Backward: sums of pieces, their fold, the input's gradient.
 * Where the rows are one piece, a single kernel does all three.
 *
 * A lane sums x - p and its square, p being its own first row: being one of the lane's n rows, p is at most sqrt(n) standard
 * deviations away from their mean, so that the sum of squares is at most n + 1 times what is left when the mean is taken out.
 * Lanes and pieces are joined by the formulas of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
 * computing sample variances", 1979), their means counted from row 0 of x: a mean far from zero costs no digits. */
#include "gpu/columns.cuh"

namespace {

/* Count, mean, and sum of squared distances from the mean. */
struct moments {
  float count, mean, m2;
  __device__ void add(const moments &other) {
    if (other.count == 0) return;
    float all = count + other.count, share = other.count / all, distance = other.mean - mean;
    mean += distance * share;
    m2 += other.m2 + distance * distance * count * share;
    count = all;
  }
};

/* Sums of g and of g * (x - mean). */
struct sums {
  float g, gx;
  __device__ void add(const sums &other) {
    g += other.g;
    gx += other.gx;
  }
};

/* A batchnorm as its kernels see it. */
struct norm {
  int64_t rows, channels, plane; /* rows of a shard: places * plane */
  dt_gpu_shards shards;
  const float *w, *b;
  float eps;
  dt_act act;
  __device__ int64_t counted() const {
    return shards.valid[blockIdx.z] * plane;
  }
  /* Where this block's shard begins in values, and in what is kept for each shard of two numbers a channel. */
  __device__ int64_t first() const {
    return blockIdx.z * rows * channels;
  }
  __device__ int64_t first_pair() const {
    return blockIdx.z * 2 * channels;
  }
  /* Of a lane's rows, which come first. */
  __device__ int counted_of(const dt_lane &lane) const {
    return dt_lane_before(lane, counted());
  }
};

/* Rows whose loads a thread has on their way: forward reads one or two values of each, backward two or three. Both divide
 * DT_COLUMNS_ROUND. */
enum { FORWARD_ROWS = 4, BACKWARD_ROWS = 2 };

/* Blocks that a multiprocessor should hold, which have enough on their way; this keeps a thread to 128 registers. To hold
 * three, at 80, the kernels would have to spill around the calls of activations. */
enum { RESIDENT = 2 };

/* --- forward --- */

template <class T>
struct moments_end {
  norm n;
  const T *x;
  float *aux, *stat; /* [shards][2][C]; stat of a single shard is the gradient block's */
  __device__ void operator()(int shard, int64_t c, const moments &sum) const {
    bool any = sum.count > 0;
    float samples = (float)n.shards.valid[shard], mean = any ? dt_to_float(x[n.first() + c]) + sum.mean : 0;
    float var = any ? sum.m2 / sum.count : 0;
    const int64_t at = n.first_pair() + c;
    aux[at] = mean;
    aux[at + n.channels] = any ? 1 / sqrtf(var + n.eps) : 0;
    stat[at] = samples * mean;
    stat[at + n.channels] = samples * (sum.count > 1 ? sum.m2 / (sum.count - 1) : var);
  }
};

/* The moments of a lane's counted rows, means counted from row 0. */
template <class T, int V>
__device__ void sum_moments(const norm &n, const T *x, const dt_lane &lane, moments (&sum)[V]) {
  const int counted = n.counted_of(lane);
  float pivot[V] = {}, total[V] = {}, squares[V] = {}, value[V], origin[V] = {};
  int64_t at = lane.at;
  for (int row = 0; row < lane.rows; row += FORWARD_ROWS, at += FORWARD_ROWS * lane.stride) {
    dt_fetched<T, V> read[FORWARD_ROWS];
    DT_UNROLL for (int i = 0; i < FORWARD_ROWS; i++) {
      if (row + i < lane.rows) read[i] = dt_fetch<V>(x + at + i * lane.stride);
    }
    if (row == 0) dt_unpack(read[0], pivot);
    DT_UNROLL for (int i = 0; i < FORWARD_ROWS; i++) {
      if (row + i >= counted) break;
      dt_unpack(read[i], value);
      for (int v = 0; v < V; v++) {
        float d = value[v] - pivot[v];
        total[v] += d;
        squares[v] += d * d;
      }
    }
  }
  if (counted > 0) dt_read<V>(x + lane.column, origin);
  float count = (float)counted, inverse = counted > 0 ? 1 / count : 0;
  for (int v = 0; v < V; v++) {
    float mean = total[v] * inverse, m2 = squares[v] - total[v] * mean;
    sum[v] = {count, pivot[v] - origin[v] + mean, m2 < 0 ? 0 : m2};
  }
}

/* y = act((x - mean) * inverse * w + b [+ addend]); center holds mean [C], then inverse [C], or, where it is running, the
 * variance [C]. */
template <class T>
struct output {
  const T *x, *addend; /* addend NULL: none */
  T *y;
  uint8_t *bits; /* NULL: not wanted, as where V is 1 */
  const float *center;
  bool running;
  /* Those of this block's shard. */
  __device__ output of_shard(const norm &n) const {
    output own = *this;
    own.x += n.first();
    own.y += n.first();
    if (bits != NULL) own.bits += n.first() / dt_pack_width<T>;
    if (addend != NULL) own.addend += n.first();
    if (!running) own.center += n.first_pair();
    return own;
  }
};

template <class T, int V>
__device__ void normalize_rows(const norm &n, const output<T> &out, const dt_lane &lane) {
  float mean[V] = {}, gain[V] = {}, offset[V] = {}, y[V], addend[V];
  const int counted = n.counted_of(lane);
  for (int v = 0; v < V && lane.rows > 0; v++) {
    int64_t c = lane.column + v;
    float second = out.center[n.channels + c];
    mean[v] = out.center[c];
    gain[v] = (out.running ? 1 / sqrtf(second + n.eps) : second) * n.w[c];
    offset[v] = n.b[c];
  }
  int64_t at = lane.at;
  for (int row = 0; row < lane.rows; row += FORWARD_ROWS, at += FORWARD_ROWS * lane.stride) {
    dt_fetched<T, V> read[FORWARD_ROWS], added[FORWARD_ROWS];
    DT_UNROLL for (int i = 0; i < FORWARD_ROWS; i++) {
      if (row + i >= lane.rows) break;
      read[i] = dt_fetch<V>(out.x + at + i * lane.stride);
      if (out.addend != NULL) added[i] = dt_fetch<V>(out.addend + at + i * lane.stride);
    }
    DT_UNROLL for (int i = 0; i < FORWARD_ROWS; i++) {
      if (row + i >= lane.rows) break;
      dt_unpack(read[i], y);
      for (int v = 0; v < V; v++) y[v] = (y[v] - mean[v]) * gain[v] + offset[v];
      if (out.addend != NULL) {
        dt_unpack(added[i], addend);
        for (int v = 0; v < V; v++) y[v] += addend[v];
      }
      dt_activate(n.act, y);
      for (int v = 0; v < V; v++) y[v] = row + i < counted ? y[v] : 0;
      dt_write<V>(out.y + at + i * lane.stride, y);
      if (V > 1 && out.bits != NULL) out.bits[(at + i * lane.stride) / V] = dt_bits_of<T>(y);
    }
  }
}

template <class T, int V>
__global__ void __launch_bounds__(DT_BLOCK, RESIDENT)
    bn_moments(norm n, int64_t piece, const T *x, moments *partial, moments_end<T> end) {
  moments sum[V];
  sum_moments<T, V>(n, x + n.first(), dt_lane_of<V>(n.rows, piece, n.channels), sum);
  dt_columns_leave<moments, V>(sum, n.channels, partial, end);
}

template <class T, int V>
__global__ void __launch_bounds__(DT_BLOCK, RESIDENT) bn_normalize(norm n, int64_t piece, output<T> out) {
  normalize_rows<T, V>(n, out.of_shard(n), dt_lane_of<V>(n.rows, piece, n.channels));
}

/* Both, for rows that are one piece: the block has the moments of its channels. */
template <class T, int V>
__global__ void bn_forward_whole(norm n, int64_t piece, output<T> out, moments_end<T> end) {
  dt_lane lane = dt_lane_of<V>(n.rows, piece, n.channels);
  const output<T> own = out.of_shard(n);
  moments sum[V];
  sum_moments<T, V>(n, own.x, lane, sum);
  dt_columns_leave<moments, V>(sum, n.channels, static_cast<moments *>(NULL), end);
  __syncthreads();
  normalize_rows<T, V>(n, own, lane);
}

/* --- backward --- */

/* What backward reads and writes. */
template <class T>
struct gradients {
  const T *dy, *mask, *x; /* mask and bits NULL: g = dy */
  const uint8_t *bits;
  const float *aux;
  T *dx, *dadd;   /* NULL: not wanted */
  float *dw, *db; /* of shard 0; those of the next lie 2 C behind */
  /* Those of this block's shard. */
  __device__ gradients of_shard(const norm &n) const {
    gradients own = *this;
    own.dy += n.first();
    own.x += n.first();
    if (mask != NULL) own.mask += n.first();
    if (bits != NULL) own.bits += n.first() / dt_pack_width<T>;
    if (dx != NULL) own.dx += n.first();
    if (dadd != NULL) own.dadd += n.first();
    own.aux += n.first_pair();
    own.dw += n.first_pair();
    own.db += n.first_pair();
    return own;
  }
};

struct sums_end {
  const float *inverse;
  float *dw, *db;
  int64_t channels;
  __device__ void operator()(int shard, int64_t c, const sums &sum) const {
    const int64_t at = shard * 2 * channels + c;
    dw[at] = sum.gx * inverse[at];
    db[at] = sum.g;
  }
};

template <class T>
sums_end __host__ __device__ end_of(const norm &n, const gradients<T> &in) {
  return {in.aux + n.channels, in.dw, in.db, n.channels};
}

/* What a thread reads of a row, on its way. */
template <class T, int V>
struct row_read {
  dt_fetched<T, V> dy, x, mask;
  uint8_t bits;
  __device__ void fetch(const gradients<T> &in, int64_t at) {
    dy = dt_fetch<V>(in.dy + at);
    x = dt_fetch<V>(in.x + at);
    if (in.mask != NULL) mask = dt_fetch<V>(in.mask + at);
    if (V > 1 && in.bits != NULL) bits = in.bits[at / V];
  }
  /* g */
  __device__ void gradient(const norm &n, const gradients<T> &in, float (&g)[V]) const {
    float y[V];
    dt_unpack(dy, g);
    if (V > 1 && in.bits != NULL) dt_mask_bits(bits, g);
    if (in.mask == NULL) return;
    dt_unpack(mask, y);
    dt_mask(n.act, y, g);
  }
};

/* Sums over a lane's rows; writes dadd. */
template <class T, int V>
__device__ void sum_gradients(const norm &n, const gradients<T> &in, const dt_lane &lane, sums (&sum)[V]) {
  float mean[V] = {}, g[V], x[V];
  const int counted = n.counted_of(lane);
  for (int v = 0; v < V; v++) {
    if (lane.rows > 0) mean[v] = in.aux[lane.column + v];
    sum[v] = sums();
  }
  int64_t at = lane.at;
  for (int row = 0; row < lane.rows; row += BACKWARD_ROWS, at += BACKWARD_ROWS * lane.stride) {
    row_read<T, V> read[BACKWARD_ROWS];
    DT_UNROLL for (int i = 0; i < BACKWARD_ROWS; i++) {
      if (row + i < lane.rows) read[i].fetch(in, at + i * lane.stride);
    }
    DT_UNROLL for (int i = 0; i < BACKWARD_ROWS; i++) {
      if (row + i >= lane.rows) break;
      read[i].gradient(n, in, g);
      dt_unpack(read[i].x, x);
      for (int v = 0; v < V; v++) {
        g[v] = row + i < counted ? g[v] : 0;
        sum[v].g += g[v];
        sum[v].gx += g[v] * (x[v] - mean[v]);
      }
      if (in.dadd != NULL) dt_write<V>(in.dadd + at + i * lane.stride, g);
    }
  }
}

/* dx = w * inverse * (g - db / m - xh * dw / m), and zeros where nothing counts. */
template <class T, int V>
__device__ void spread_gradients(const norm &n, const gradients<T> &in, const dt_lane &lane) {
  float mean[V] = {}, factor[V] = {}, less[V] = {}, slope[V] = {}, g[V], x[V];
  const int counted = n.counted_of(lane);
  const int64_t all = n.counted();
  float share = all > 0 ? 1 / (float)all : 0;
  for (int v = 0; v < V && lane.rows > 0; v++) {
    int64_t c = lane.column + v;
    float inverse = in.aux[n.channels + c];
    mean[v] = in.aux[c];
    factor[v] = n.w[c] * inverse;
    less[v] = factor[v] * in.db[c] * share;
    slope[v] = factor[v] * inverse * in.dw[c] * share;
  }
  int64_t at = lane.at;
  for (int row = 0; row < lane.rows; row += BACKWARD_ROWS, at += BACKWARD_ROWS * lane.stride) {
    row_read<T, V> read[BACKWARD_ROWS];
    DT_UNROLL for (int i = 0; i < BACKWARD_ROWS; i++) {
      if (row + i < lane.rows) read[i].fetch(in, at + i * lane.stride);
    }
    DT_UNROLL for (int i = 0; i < BACKWARD_ROWS; i++) {
      if (row + i >= lane.rows) continue;
      read[i].gradient(n, in, g);
      dt_unpack(read[i].x, x);
      for (int v = 0; v < V; v++) {
        float dx = factor[v] * g[v] - less[v] - (x[v] - mean[v]) * slope[v];
        g[v] = row + i < counted ? dx : 0;
      }
      dt_write<V>(in.dx + at + i * lane.stride, g);
    }
  }
}

/* The same for the second pass over the rows: where g has been written, it need not be computed again. */
template <class T>
__host__ __device__ gradients<T> second_pass(const gradients<T> &first) {
  gradients<T> second = first;
  if (first.dadd != NULL) second.dy = first.dadd, second.mask = NULL, second.bits = NULL;
  return second;
}

template <class T, int V>
__global__ void __launch_bounds__(DT_BLOCK, RESIDENT) bn_sums(norm n, int64_t piece, gradients<T> in, sums *partial) {
  sums sum[V];
  sum_gradients<T, V>(n, in.of_shard(n), dt_lane_of<V>(n.rows, piece, n.channels), sum);
  dt_columns_leave<sums, V>(sum, n.channels, partial, end_of(n, in));
}

template <class T, int V>
__global__ void __launch_bounds__(DT_BLOCK, RESIDENT) bn_spread(norm n, int64_t piece, gradients<T> in) {
  spread_gradients<T, V>(n, in.of_shard(n), dt_lane_of<V>(n.rows, piece, n.channels));
}

template <class T, int V>
__global__ void bn_backward_whole(norm n, int64_t piece, gradients<T> in) {
  dt_lane lane = dt_lane_of<V>(n.rows, piece, n.channels);
  const gradients<T> own = in.of_shard(n);
  sums sum[V];
  sum_gradients<T, V>(n, own, lane, sum);
  dt_columns_leave<sums, V>(sum, n.channels, static_cast<sums *>(NULL), end_of(n, in));
  __syncthreads();
  if (own.dx != NULL) spread_gradients<T, V>(n, second_pass(own), lane);
}

/* A step that loss scaling skips leaves the running statistics as they were, like the parameters. */
__global__ void bn_running(const dt_step *step, const float *loss_scale, const float *stat, float *running, double momentum,
                           int64_t count) {
  if (loss_scale != NULL && loss_scale[DT_LOSS_SCALE_SKIP] != 0) return;
  double samples = (double)step->batch_samples;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    running[i] = (float)((1 - momentum) * running[i] + momentum * stat[i] / samples);
  }
}

/* --- launches --- */

int64_t channels_of(const dt_program *program, const dt_instr *instr) {
  return dt_gpu_count(program, instr, DT_ARG_W);
}

int64_t rows_of(const dt_program *program, const dt_instr *instr) {
  return program->shard_capacity * dt_gpu_count(program, instr, DT_ARG_X) / channels_of(program, instr);
}

norm norm_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = {};
  n.rows = rows_of(run->program, instr);
  n.channels = channels_of(run->program, instr);
  n.plane = n.rows / run->program->shard_capacity;
  n.shards = dt_gpu_input_of(run, micro).shards;
  n.w = (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_W);
  n.b = (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_B);
  n.eps = (float)instr->norm.eps;
  n.act = instr->act;
  return n;
}

template <class T>
output<T> output_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg center) {
  output<T> out = {};
  out.x = (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_X);
  out.addend = (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_ADDEND);
  out.y = (T *)dt_gpu_arg(run, instr, micro, DT_ARG_Y);
  out.bits = (uint8_t *)dt_gpu_arg(run, instr, micro, DT_ARG_BITS);
  out.center = (const float *)dt_gpu_arg(run, instr, micro, center);
  out.running = center == DT_ARG_STATE;
  return out;
}

/* WORK is the sums of pieces, and behind them, where there are several shards, their sums [shards][2][C]. */
float *shard_sums(const dt_columns *cut, size_t piece_bytes, void *work) {
  return (float *)((char *)work + dt_gpu_round_up(dt_columns_bytes(cut, piece_bytes)));
}

/* out[0] gets the first C of the folded sums, out[1] the others. */
dt_status fold_shard_sums(const norm &n, const float *from, float *first, float *second, cudaStream_t stream) {
  const dt_gpu_shard_sums sums = {from, n.shards.count, 2 * n.channels, 2 * n.channels, {first, second}, n.channels};
  return n.shards.count == 1 ? DT_OK : dt_gpu_fold_shards(DT_GPU_F32, &sums, stream);
}

template <class T, int V>
dt_status forward(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  const int shards = n.shards.count;
  output<T> out = output_of<T>(run, instr, micro, DT_ARG_AUX);
  void *work = dt_gpu_arg(run, instr, micro, DT_ARG_WORK);
  float *stat = (float *)dt_gpu_arg(run, instr, micro, DT_ARG_STAT);
  cudaStream_t stream = dt_gpu_stream(run, instr);
  dt_columns cut = dt_columns_of(shards, n.rows, n.channels, V), spread = dt_columns_spread(shards, n.rows, n.channels, V);
  float *each = shards == 1 ? stat : shard_sums(&cut, sizeof(moments), work);
  moments_end<T> end = {n, out.x, (float *)dt_gpu_arg(run, instr, micro, DT_ARG_AUX), each};
  if (cut.pieces == 1) {
    DT_LAUNCH((bn_forward_whole<T, V>), cut.grid, cut.block, stream, n, cut.piece, out, end);
  } else {
    moments *partial = (moments *)work;
    DT_LAUNCH((bn_moments<T, V>), cut.grid, cut.block, stream, n, cut.piece, out.x, partial, end);
    DT_TRY(dt_columns_finish_launch<moments>(&cut, partial, end, stream));
    DT_LAUNCH((bn_normalize<T, V>), spread.grid, spread.block, stream, n, spread.piece, out);
  }
  return fold_shard_sums(n, each, stat, stat + n.channels, stream);
}

template <class T, int V>
dt_status evaluate(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  dt_columns spread = dt_columns_spread(n.shards.count, n.rows, n.channels, V);
  DT_LAUNCH((bn_normalize<T, V>), spread.grid, spread.block, dt_gpu_stream(run, instr), n, spread.piece,
            output_of<T>(run, instr, micro, DT_ARG_STATE));
  return DT_OK;
}

/* dx = dy * w / sqrt(running var + eps); channels are next to each other. */
template <class T>
__global__ void bn_scale(norm n, const T *dy, const float *state, T *dx, int64_t count) {
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t c = i % n.channels;
    float value[1] = {dt_to_float(dy[i]) * (n.w[c] / sqrtf(state[n.channels + c] + n.eps))};
    dt_write(dx + i, value);
  }
}

template <class T>
dt_status evaluate_backward(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = {};
  n.channels = channels_of(run->program, instr);
  n.w = (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_W);
  n.eps = (float)instr->norm.eps;
  const int64_t count = dt_gpu_places(run, micro) * dt_gpu_count(run->program, instr, DT_ARG_DX);
  DT_LAUNCH(bn_scale<T>, dt_grid(count), dim3(DT_BLOCK), dt_gpu_stream(run, instr), n,
            (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_DY), (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_STATE),
            (T *)dt_gpu_arg(run, instr, micro, DT_ARG_DX), count);
  return DT_OK;
}

template <class T>
gradients<T> gradients_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  gradients<T> in = {};
  in.dy = (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_DY);
  in.mask = (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_MASK);
  in.bits = (const uint8_t *)dt_gpu_arg(run, instr, micro, DT_ARG_BITS);
  in.x = (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_X);
  in.aux = (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_AUX);
  in.dx = (T *)dt_gpu_arg(run, instr, micro, DT_ARG_DX);
  in.dadd = (T *)dt_gpu_arg(run, instr, micro, DT_ARG_DADD);
  in.dw = (float *)dt_gpu_arg(run, instr, micro, DT_ARG_DW);
  in.db = (float *)dt_gpu_arg(run, instr, micro, DT_ARG_DB);
  return in;
}

template <class T, int V>
dt_status backward(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  const int shards = n.shards.count;
  const gradients<T> whole = gradients_of<T>(run, instr, micro);
  gradients<T> in = whole;
  void *work = dt_gpu_arg(run, instr, micro, DT_ARG_WORK);
  cudaStream_t stream = dt_gpu_stream(run, instr);
  dt_columns cut = dt_columns_of(shards, n.rows, n.channels, V), spread = dt_columns_spread(shards, n.rows, n.channels, V);
  if (shards > 1) in.dw = shard_sums(&cut, sizeof(sums), work), in.db = in.dw + n.channels;
  if (cut.pieces == 1) {
    DT_LAUNCH((bn_backward_whole<T, V>), cut.grid, cut.block, stream, n, cut.piece, in);
  } else {
    sums *partial = (sums *)work;
    DT_LAUNCH((bn_sums<T, V>), cut.grid, cut.block, stream, n, cut.piece, in, partial);
    DT_TRY(dt_columns_finish_launch<sums>(&cut, partial, end_of(n, in), stream));
    if (in.dx != NULL) DT_LAUNCH((bn_spread<T, V>), spread.grid, spread.block, stream, n, spread.piece, second_pass(in));
  }
  return fold_shard_sums(n, in.dw, whole.dw, whole.db, stream);
}

/* Runs with the width that the channels allow. */
#define WITH_WIDTH(function)                                        \
  DT_WITH_TYPE(dt_gpu_of(run)->type, {                              \
    if (dt_columns_width<T>(channels_of(run->program, instr)) == 1) \
      DT_TRY((function<T, 1>(run, instr, micro)));                  \
    else                                                            \
      DT_TRY((function<T, dt_pack_width<T>>(run, instr, micro)));   \
  })

}  // namespace

dt_status dt_gpu_bn_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  int64_t channels = channels_of(program, instr);
  int width = gpu->type == DT_GPU_F32 ? dt_columns_width<float>(channels) : dt_columns_width<__half>(channels);
  const int shards = program->micro_batch_shards;
  dt_columns cut = dt_columns_of(shards, rows_of(program, instr), channels, width);
  *out = dt_gpu_round_up(dt_columns_bytes(&cut, instr->op == DT_OP_BN_FWD ? sizeof(moments) : sizeof(sums)));
  if (shards > 1) *out += (size_t)(shards * 2 * channels) * sizeof(float);
  return DT_OK;
}

dt_status dt_gpu_bn_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  WITH_WIDTH(forward);
  return DT_OK;
}

dt_status dt_gpu_bn_eval(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  WITH_WIDTH(evaluate);
  return DT_OK;
}

dt_status dt_gpu_bn_eval_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return evaluate_backward<T>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_bn_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  WITH_WIDTH(backward);
  return DT_OK;
}

/* Whether the instruction behind this one is a BN_UPDATE too, and goes on where this one ends in both blocks. */
static bool is_continued(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_instr *next = instr + 1;
  if (next == run->program->instr + run->program->count || next->op != DT_OP_BN_UPDATE) return false;
  const int64_t count = dt_gpu_count(run->program, instr, DT_ARG_STATE);
  const float *state = (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_STATE),
              *stat = (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_STAT);
  return next->norm.momentum == instr->norm.momentum && dt_gpu_arg(run, next, micro, DT_ARG_STATE) == state + count &&
         dt_gpu_arg(run, next, micro, DT_ARG_STAT) == stat + count;
}

/* The first of a row of BN_UPDATEs that continue each other does the work of all in one launch. All statistics ride on the last
 * bucket, so that what one of them has to wait for has been waited for by the first. */
dt_status dt_gpu_bn_update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_instr *before = instr - 1, *last = instr;
  if (instr > run->program->instr && before->op == DT_OP_BN_UPDATE && is_continued(run, before, micro)) return DT_OK;
  int64_t count = dt_gpu_count(run->program, instr, DT_ARG_STATE);
  for (; is_continued(run, last, micro); last++) count += dt_gpu_count(run->program, last + 1, DT_ARG_STATE);
  DT_LAUNCH(bn_running, dt_grid(count), dim3(DT_BLOCK), dt_gpu_stream(run, instr), dt_gpu_input_of(run, micro).step,
            dt_gpu_loss_scale(run), (const float *)dt_gpu_arg(run, instr, micro, DT_ARG_STAT),
            (float *)dt_gpu_arg(run, instr, micro, DT_ARG_STATE), instr->norm.momentum, count);
  return DT_OK;
}
