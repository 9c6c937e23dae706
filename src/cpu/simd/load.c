/* LOAD: samples in rows become samples in lanes, normalised on the way: y = raw * scale[c] + shift[c]. */
#include "cpu/simd/common.h"
#include "cpu/simd/transpose.h"

enum { CHUNK = 256 }; /* elements of a task, a multiple of 16 */

typedef struct load {
  const float *scale, *shift; /* [C] */
  const int32_t *valid;
  const void *raw; /* [shards][shard_capacity][elements] */
  bool bytes;
  float *y;
  int64_t elements, plane, shard_capacity;
  int shard_blocks, chunks;
} load;

/* Sixteen elements of up to sixteen samples: lane[i] points at 16 floats, one a sample. */
typedef struct load_tile {
  _Alignas(64) float lane[16][16];
} load_tile;

/* One row of bytes a sample; rows of absent samples and columns beyond the sample are zero. */
static void gather_bytes(uint8_t row[16][16], const uint8_t *from, int64_t stride, int samples, int columns) {
  for (int i = 0; i < 16; i++) {
    if (i < samples && columns == 16) {
      memcpy(row[i], from + i * stride, 16);
    } else {
      memset(row[i], 0, 16);
      if (i < samples) memcpy(row[i], from + i * stride, (size_t)columns);
    }
  }
}

#if defined(__SSE2__)
/* Four rounds of interleaving rows i and i + 8 transpose 16 x 16 bytes. */
static void transpose_bytes(uint8_t row[16][16]) {
  __m128i a[16], b[16];
  for (int i = 0; i < 16; i++) a[i] = _mm_loadu_si128((const __m128i *)row[i]);
#pragma GCC unroll 4
  for (int round = 0; round < 4; round++) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
      b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) a[i] = b[i];
  }
  for (int i = 0; i < 16; i++) _mm_storeu_si128((__m128i *)row[i], a[i]);
}
#else
static void transpose_bytes(uint8_t row[16][16]) {
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < i; j++) {
      uint8_t t = row[i][j];
      row[i][j] = row[j][i];
      row[j][i] = t;
    }
  }
}
#endif

static void load_bytes(load_tile *tile, const uint8_t *from, int64_t stride, int samples, int columns) {
  uint8_t row[16][16];
  gather_bytes(row, from, stride, samples, columns);
  transpose_bytes(row);
  for (int i = 0; i < columns; i++) v16_store(tile->lane[i], v16_load_u8(row[i]));
}

static void load_floats(load_tile *tile, const float *from, int64_t stride, int samples, int columns) {
  _Alignas(64) float row[16 * 16] = {0};
  for (int i = 0; i < samples; i++) memcpy(row + i * 16, from + i * stride, (size_t)columns * sizeof *from);
  transpose_16x16(tile->lane[0], row, 16);
}

static void load_task(void *context, int index, int thread) {
  const load *l = context;
  int block = index / l->chunks, shard = block / l->shard_blocks, first_sample = block % l->shard_blocks * 16;
  int samples = block_filled(l->valid[shard], block % l->shard_blocks);
  m16 valid = lanes_filled(samples);
  int64_t e = (int64_t)(index % l->chunks) * CHUNK, end = e + CHUNK < l->elements ? e + CHUNK : l->elements;
  int64_t from = (shard * l->shard_capacity + first_sample) * l->elements;
  float *y = l->y + (block * l->elements + e) * 16;
  int64_t channel = e / l->plane, channel_end = (channel + 1) * l->plane;
  v16 scale = v16_set1(l->scale[channel]), shift = v16_set1(l->shift[channel]);
  for (; e < end; e += 16) {
    load_tile tile;
    int columns = end - e < 16 ? (int)(end - e) : 16;
    if (l->bytes) {
      load_bytes(&tile, (const uint8_t *)l->raw + from + e, l->elements, samples, columns);
    } else {
      load_floats(&tile, (const float *)l->raw + from + e, l->elements, samples, columns);
    }
    for (int i = 0; i < columns; i++, y += 16) {
      if (e + i == channel_end) {
        channel++;
        channel_end += l->plane;
        scale = v16_set1(l->scale[channel]);
        shift = v16_set1(l->shift[channel]);
      }
      v16_store(y, v16_select(valid, v16_fma(v16_load(tile.lane[i]), scale, shift), v16_zero()));
    }
  }
}

dt_status DT_SIMD(dt_cpu_load)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  load l = {.scale = run->blocks.scale + instr->channel,
            .shift = run->blocks.shift + instr->channel,
            .valid = micro->batch->valid,
            .raw = dt_host_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_X), DT_PART_VALUES),
            .bytes = dt_instr_field(run->program, instr, DT_ARG_X)->dtype == DT_U8,
            .y = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
            .elements = arg_count(run, instr, DT_ARG_Y),
            .plane = dt_shape_inner(arg_shape(run, instr, DT_ARG_Y)),
            .shard_capacity = run->program->shard_capacity,
            .shard_blocks = dt_cpu_shard_blocks(run->program)};
  l.chunks = (int)((l.elements + CHUNK - 1) / CHUNK);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro) * l.chunks, load_task, &l);
  return DT_OK;
}
