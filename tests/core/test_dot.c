/* The drawing of a program: every instruction and parameter is there, edges lead from what is there to what is there, and all
 * that runs through a value or a bucket is drawn. Where Graphviz is installed it reads the same text. */
#include <stdlib.h>
#include <unistd.h>

#include "core/program/dot.h"
#include "fake_device.h"
#include "nets.h"

static char *draw(const dt_program *program) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  assert_int_equal(dt_program_dot(program, out), DT_OK);
  fclose(out);
  return text;
}

static int count_of(const char *text, const char *part) {
  int count = 0;
  for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part)) count++;
  return count;
}

static bool has_edge(const char *text, int from, int to) {
  char edge[64];
  snprintf(edge, sizeof edge, "\n  i%d -> i%d;\n", from, to);
  return strstr(text, edge) != NULL;
}

static void require_edge(const char *text, int from, int to) {
  if (!has_edge(text, from, to)) fail_msg("no edge from instruction %d to %d in\n%s", from, to, text);
}

/* Every value that is read comes from the instruction that has written it. */
static void require_values(const char *text, const dt_program *program) {
  for (int w = 0; w < program->micro_batch_end; w++) {
    for (int r = w + 1; r < program->micro_batch_end; r++) {
      for (int a = 0; a < DT_ARG_COUNT; a++) {
        for (int b = 0; b < DT_ARG_COUNT; b++) {
          const dt_instr *writer = &program->instr[w], *reader = &program->instr[r];
          if (writer->arg[a] < 0 || writer->arg[a] != reader->arg[b] || a == DT_ARG_WORK) continue;
          if ((dt_op_infos[writer->op].writes >> a & 1) && (dt_op_infos[reader->op].reads >> b & 1)) require_edge(text, w, r);
        }
      }
    }
  }
}

/* Element by element: what of the gradient an instruction of the exchange and of the step section reads, and writes. */
static void mark(int64_t first, int64_t count, bool *element) {
  for (int64_t e = first; e < first + count; e++) element[e] = true;
}

static void mark_buffer(const dt_program *program, int buffer, bool *element) {
  mark(program->buffer[buffer].offset, dt_shape_count(&program->buffer[buffer].shape), element);
}

static void mark_uses(const dt_program *program, int i, bool *read, bool *written) {
  const dt_instr *instr = &program->instr[i];
  const dt_bucket *bucket = &program->bucket[dt_instr_bucket(instr) < 0 ? 0 : dt_instr_bucket(instr)];
  switch (instr->op) {
    case DT_OP_REDUCE_BEGIN:
    case DT_OP_REDUCE_END:
    case DT_OP_ACCUMULATE:
      mark(bucket->first, bucket->count, read);
      /* fall through */
    case DT_OP_COMBINE:
      mark(bucket->first, bucket->count, written);
      break;
    case DT_OP_GRAD_ADD:
      mark_buffer(program, instr->arg[DT_ARG_X], read);
      mark_buffer(program, instr->arg[DT_ARG_DW], read);
      mark_buffer(program, instr->arg[DT_ARG_DW], written);
      break;
    case DT_OP_GRAD_NORM:
    case DT_OP_TENSOR_NORM:
    case DT_OP_ASCEND:
      mark(0, program->trained_elements, read);
      break;
    case DT_OP_PENALTY:
    case DT_OP_CLIP_UNITS:
    case DT_OP_DIRECTION:
    case DT_OP_ORTHOGONALISE:
      mark(0, program->trained_elements, read);
      mark(0, program->trained_elements, written);
      break;
    case DT_OP_UPDATE:
      mark(bucket->first, bucket->count, read);
      break;
    case DT_OP_BN_UPDATE:
      mark_buffer(program, instr->arg[DT_ARG_STAT], read);
      break;
    default:
      break;
  }
}

/* Of the sums an instruction hangs on the last one that wrote any element of what it reads, and on no other. */
static void require_sums(const char *text, const dt_program *program) {
  const size_t count = (size_t)program->grad_elements;
  int *last = malloc(count * sizeof *last);
  bool *read = malloc(count), *written = malloc(count), *wanted = malloc((size_t)program->count);
  for (size_t e = 0; e < count; e++) last[e] = -1;
  for (int i = 0; i < program->count; i++) {
    memset(read, false, count);
    memset(written, false, count);
    memset(wanted, false, (size_t)program->count);
    mark_uses(program, i, read, written);
    for (size_t e = 0; e < count; e++) {
      if (read[e] && last[e] >= 0) wanted[last[e]] = true;
      if (written[e]) last[e] = i;
    }
    for (int w = 0; w < i; w++) {
      const dt_op op = program->instr[w].op;
      const bool makes = op == DT_OP_COMBINE || op == DT_OP_REDUCE_BEGIN || op == DT_OP_REDUCE_END || op == DT_OP_ACCUMULATE ||
                         op == DT_OP_GRAD_ADD || op == DT_OP_PENALTY || op == DT_OP_CLIP_UNITS || op == DT_OP_DIRECTION ||
                         op == DT_OP_ORTHOGONALISE;
      const dt_op to = program->instr[i].op;
      const bool scaled = to == DT_OP_UPDATE || to == DT_OP_CLIP_UNITS || to == DT_OP_DIRECTION || to == DT_OP_ORTHOGONALISE;
      if (makes && has_edge(text, w, i) != wanted[w])
        fail_msg("%s edge from %s %d to %s %d", wanted[w] ? "no" : "an", dt_op_infos[op].name, w,
                 dt_op_infos[program->instr[i].op].name, i);
      if (op == DT_OP_GRAD_NORM) assert_true(has_edge(text, w, i) == scaled);
    }
  }
  free(wanted);
  free(written);
  free(read);
  free(last);
}

static int bucket_ops(const dt_program *program) {
  int count = 0;
  for (int i = 0; i < program->count; i++) count += dt_instr_bucket(&program->instr[i]) >= 0;
  return count;
}

/* Each end of an edge is a box or an ellipse that the text declares. */
static void require_ends(const char *text) {
  for (const char *edge = text; (edge = strstr(edge, " -> ")) != NULL; edge += 4) {
    const char *first = edge;
    while (first[-1] != ' ') first--;
    char from[32], to[32];
    snprintf(from, sizeof from, "\n  %.*s [", (int)(edge - first), first);
    snprintf(to, sizeof to, "\n  %.*s [", (int)strcspn(edge + 4, "; "), edge + 4);
    if (strstr(text, from) == NULL || strstr(text, to) == NULL) fail_msg("an edge without an end:%s ->%s", from, to);
  }
}

static void require_readable(const char *text) {
  if (access("/usr/bin/dot", X_OK) != 0) return;
  FILE *dot = popen("/usr/bin/dot -Tcanon >/dev/null", "w");
  assert_non_null(dot);
  fputs(text, dot);
  assert_int_equal(pclose(dot), 0);
}

static void everything_is_drawn(void **state) {
  static const test_net more = {
      "shared and frozen", "[8]",
      "[{linear: 8, name: a}, tanh, {linear: 8, share: a}, {linear: 8, freeze: true}, {add: {}, from: [a, "
      "linear3]}, {linear: 10}]"};
  for (int i = 0; i <= NET_COUNT; i++) {
    for (int f = 0; f < 6; f++) {
      fake_device device = fake_make(f % 2 == 0 ? 0 : FAKE_FUSES_ALL, 64);
      lowered l = lower_net_set(i < NET_COUNT ? &nets[i] : &more, &device.base, DT_PROGRAM_TRAIN,
                                f == 2   ? ", clip_norm: 1, l1: 0.1, max_norm: 3"
                                : f == 4 ? ", clip_units: 0.01"
                                         : "",
                                f == 3   ? "optimizer=lars"
                                : f == 4 ? "optimizer=lamb"
                                : f == 5 ? "optimizer=muon"
                                         : NULL);
      char *text = draw(l.program);
      for (int k = 0; k < l.program->count; k++) {
        char box[32];
        snprintf(box, sizeof box, "\n  i%d [label=\"", k);
        assert_int_equal(count_of(text, box), 1);
      }
      assert_int_equal(count_of(text, "shape=ellipse"), l.program->param_count);
      assert_int_equal(count_of(text, "\\nfrozen"), l.program->param_count - l.program->trained_count);
      assert_int_equal(count_of(text, "\\nbucket "), bucket_ops(l.program));
      require_values(text, l.program);
      require_sums(text, l.program);
      require_ends(text);
      if (i == NET_COUNT || i == 0) require_readable(text);
      free(text);
      lowered_free(&l);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(everything_is_drawn)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
