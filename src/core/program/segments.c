/* Segments: where in the parameter block the learning rate has another multiplier or weight decay does not apply. A network
 * without either is one segment, unless the optimizer looks at each tensor (dt_optimizer.emit), or what goes by units does.
 * Frozen parameters lie behind the trained ones and are in none. */
#include "core/optim/optimizer.h"
#include "core/program/lowering.h"

/* A matrix or filters, which are drawn at random. What normalisations multiply by and add begins as ones and zeros, and has as
 * many dimensions as what is normalised. */
static bool is_weight(const dt_param *param) {
  return param->shape.ndim > 1 && param->decl->init == DT_INIT_KAIMING_UNIFORM;
}

static bool decays(const dt_param *param, const dt_spec *spec) {
  return param->decay && (spec->train.decayed == DT_DECAY_ALL || is_weight(param));
}

static bool are_alike(const dt_segment *a, const dt_segment *b) {
  return a->lr_scale == b->lr_scale && a->decay == b->decay;
}

dt_status dt_make_segments(dt_builder *b, const dt_spec *spec) {
  dt_program *program = b->program;
  const bool apart = ((const dt_optimizer *)spec->optimizer.kind->impl)->emit != NULL || spec->train.clip_units > 0 ||
                     spec->train.max_norm > 0;
  DT_TRY(dt_alloc((size_t)program->trained_count, sizeof *program->segment, &program->segment));
  for (int p = 0; p < program->trained_count; p++) {
    const dt_param *param = &program->param[p];
    int64_t end = p + 1 < program->trained_count ? param[1].offset : program->trained_elements;
    dt_segment own = {.first = param->offset,
                      .count = end - param->offset,
                      .lr_scale = param->lr_scale,
                      .decay = decays(param, spec),
                      .tensor = p,
                      .bounded = param->decay && is_weight(param),
                      .units = is_weight(param) ? param->shape.dim[0] : 1,
                      .matrix = is_weight(param)};
    own.unit_count = param->count / own.units;
    dt_segment *last = program->segment_count > 0 ? &program->segment[program->segment_count - 1] : NULL;
    if (last != NULL && !apart && are_alike(last, &own)) {
      last->count += own.count;
    } else {
      program->segment[program->segment_count++] = own;
    }
  }
  return DT_OK;
}

int dt_segment_find(const dt_program *program, int64_t element) {
  int first = 0, end = program->segment_count;
  while (end - first > 1) {
    int middle = first + (end - first) / 2;
    if (program->segment[middle].first <= element) {
      first = middle;
    } else {
      end = middle;
    }
  }
  return first;
}
