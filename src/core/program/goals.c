/* Losses and metrics: nodes at the end of the graph, from the config's two lists, and the measures that are made of them. */
#include "core/program/goals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/names.h"
#include "core/losses/loss.h"
#include "core/metrics/metric.h"
#include "core/numbers.h"

typedef struct goal_builder {
  dt_graph_builder *b;
  const dt_config *config;
  const dt_spec *spec;
  dt_goals *goals;
  int last; /* the network's last node */
} goal_builder;

enum { HINT_TEXT = 512 };

static const dt_node *node_at(const goal_builder *g, int index) {
  return dt_graph_builder_node(g->b, index);
}

/* --- layers by name --- */

/* The node that `of` names; `standard` where it names none. */
static dt_status find_input(const goal_builder *g, const dt_choice *choice, const char *of, int standard, int *out) {
  char hint[HINT_TEXT];
  *out = of[0] != '\0' ? dt_graph_builder_find(g->b, of) : standard;
  if (*out >= 0 && *out <= g->last) return DT_OK;
  return dt_config_error_at(g->config, choice->origin,
                            "%s.of: found \"%.60s\", expected the name of a layer, as describe prints it%s", choice->kind->name,
                            of, dt_graph_builder_hint(g->b, g->last, of, hint, sizeof hint));
}

static dt_status check_name(const goal_builder *g, const dt_choice *choice, const char *name) {
  if (dt_graph_builder_find(g->b, name) < 0) return DT_OK;
  return dt_config_error_at(g->config, choice->origin,
                            "%s: found the name \"%.60s\" for two things, expected one of its own: name: ...",
                            choice->kind->name, name);
}

static int sums_before(const goal_builder *g, int node) {
  int count = 0;
  for (int n = 0; n < node; n++) count += node_at(g, n)->sum_count;
  return count;
}

static dt_status set_target(const goal_builder *g, int node, dt_field field, const char *name) {
  if (name[0] != '\0') snprintf(field.name, sizeof field.name, "%s", name);
  return dt_graph_set_target(g->b, node, &field);
}

/* --- losses --- */

/* What is wrong with a loss by default is wrong with what comes before. */
static dt_choice blamed(const goal_builder *g, const dt_choice *loss) {
  dt_choice choice = *loss;
  if (choice.origin.column == 0) choice.origin = g->spec->model.layers.item[g->spec->model.layers.count - 1].origin;
  return choice;
}

static dt_status loss_name(const goal_builder *g, const dt_choice *choice, int index, const char **out) {
  const dt_loss_attr *attr = choice->attr;
  *out = attr->name[0] != '\0' ? attr->name : "loss";
  if (attr->name[0] != '\0' || g->spec->model.loss.count == 1) return DT_OK;
  return dt_graph_builder_format(g->b, out, "loss%d", index + 1);
}

static dt_status set_loss_target(const goal_builder *g, int node, const dt_choice *choice, const dt_shape *x) {
  const dt_loss_attr *attr = choice->attr;
  const dt_loss *loss = choice->kind->impl;
  if (loss->field == NULL) return dt_graph_set_target(g->b, node, NULL);
  const dt_field field = loss->field(attr, x);
  DT_TRY(set_target(g, node, field, attr->target));
  const bool mixed = g->spec->data.mix.count > 0 && field.dtype == DT_I32;
  return mixed ? dt_graph_mix_target(g->b, node, field.limit) : DT_OK;
}

static dt_status add_loss(goal_builder *g, int index) {
  const dt_choice choice = blamed(g, &g->spec->model.loss.item[index]);
  const dt_loss_attr *attr = choice.attr;
  const dt_loss *loss = choice.kind->impl;
  const char *name;
  int input, node;
  if (index == 0 && loss->field == NULL)
    return dt_config_error_at(g->config, choice.origin,
                              "model.loss: found %s first, expected a loss with a target, by which predictions and metrics go",
                              choice.kind->name);
  DT_TRY(loss_name(g, &choice, index, &name));
  DT_TRY(check_name(g, &choice, name));
  DT_TRY(find_input(g, &choice, attr->of, g->last, &input));
  DT_TRY(dt_graph_add(g->b, &choice, name, input, &node));
  DT_TRY(set_loss_target(g, node, &choice, &node_at(g, input)->shape));
  g->goals->loss[g->goals->loss_count].node = node;
  g->goals->loss[g->goals->loss_count].sum = sums_before(g, node);
  g->goals->loss[g->goals->loss_count++].weight = attr->weight;
  return DT_OK;
}

static const dt_node *loss_node(const goal_builder *g, int index) {
  return node_at(g, g->goals->loss[index].node);
}

/* --- every layer serves a loss --- */

static dt_status check_reached(const goal_builder *g) {
  bool *reached;
  DT_TRY(dt_alloc((size_t)dt_graph_builder_count(g->b), sizeof *reached, &reached));
  for (int n = dt_graph_builder_count(g->b) - 1; n > 0; n--) {
    const dt_node *node = node_at(g, n);
    reached[n] = reached[n] || n > g->last;
    for (int i = 0; i < node->input_count && reached[n]; i++) reached[node->input[i]] = true;
  }
  int lost = g->last;
  while (lost > 0 && reached[lost]) lost--;
  free(reached);
  if (lost == 0) return DT_OK;
  const dt_node *node = node_at(g, lost);
  return dt_config_error_at(g->config, node->origin,
                            "%s: found no loss that what it gives has a part in, expected one: remove it, or name it in a loss "
                            "(of: %s)",
                            node->name, node->name);
}

/* --- measures --- */

static dt_status add_measure(goal_builder *g, dt_origin origin, const dt_measure *measure) {
  dt_goals *goals = g->goals;
  for (int i = 0; i < goals->measure_count; i++) {
    if (strcmp(goals->measure[i].name, measure->name) != 0) continue;
    return dt_config_error_at(g->config, origin,
                              "found two measures of the name \"%.60s\", expected a name of its own for each: name: ...",
                              measure->name);
  }
  if (goals->measure_count == DT_MEASURES_MAX)
    return dt_config_error_at(g->config, origin, "found more than %d losses and metrics", (int)DT_MEASURES_MAX);
  goals->measure[goals->measure_count++] = *measure;
  return DT_OK;
}

/* The whole loss, and where it is made of several, each of them. */
static dt_status add_loss_measures(goal_builder *g) {
  const dt_measure whole = {.name = "loss", .label = "loss", .sum = -1, .per_sample = 1};
  const dt_goals *goals = g->goals;
  DT_TRY(add_measure(g, g->spec->model.loss.item[0].origin, &whole));
  for (int i = 0; i < goals->loss_count && goals->loss_count > 1; i++) {
    dt_measure one = whole;
    one.name = one.label = loss_node(g, i)->name;
    one.sum = goals->loss[i].sum;
    one.record_only = true;
    DT_TRY(add_measure(g, loss_node(g, i)->origin, &one));
  }
  return DT_OK;
}

static dt_measure measure_of(const dt_metric *metric, const char *name, const dt_sum_decl *decl, int sum) {
  return (dt_measure){.name = name,
                      .label = metric->label,
                      .counts = decl->kind == DT_SUM_COUNT && metric->derive == NULL ? decl->name : NULL,
                      .percent = metric->percent,
                      .higher = metric->higher,
                      .sum = sum,
                      .per_sample = decl->per_sample,
                      .bins = decl->kind == DT_SUM_HISTOGRAM && metric->derive == NULL ? decl->bins : 0,
                      .derive = metric->derive,
                      .eval_only = decl->kind == DT_SUM_HISTOGRAM || metric->eval_only};
}

/* A loss over the same two that has the metric among its sums; -1 = none. What a metric with options of its own gives depends
 * on these. */
static int find_loss_with(const goal_builder *g, const dt_kind *kind, int input, const char *target) {
  const bool has_options = ((const dt_metric *)kind->impl)->set_params != NULL;
  for (int i = 0; i < g->goals->loss_count && !has_options; i++) {
    const dt_node *node = loss_node(g, i);
    const dt_loss *loss = (const dt_loss *)node->layer;
    const bool same = node->input[0] == input && (target[0] == '\0' || strcmp(dt_graph_target(g->b, node->index), target) == 0);
    if (same && loss->metric != NULL && strcmp(loss->metric, kind->name) == 0) return i;
  }
  return -1;
}

/* A loss or metric before it whose instruction computes the same of the same two; -1 = none. */
static int find_node_with(const goal_builder *g, const dt_metric *metric, int input, const char *target) {
  for (int n = g->last + 1; n < dt_graph_builder_count(g->b) && metric->set_params == NULL; n++) {
    const dt_node *node = node_at(g, n);
    const bool is_loss = n <= g->goals->loss[g->goals->loss_count - 1].node;
    const dt_op op = is_loss ? ((const dt_loss *)node->layer)->op : ((const dt_metric *)node->layer)->op;
    if (op == metric->op && node->input[0] == input && strcmp(dt_graph_target(g->b, n), target) == 0) return n;
  }
  return -1;
}

/* Counts of a metric that was given a name bear that too. */
static dt_status name_counts(goal_builder *g, const dt_metric_attr *attr, dt_measure *measure) {
  if (attr->name[0] == '\0' || measure->counts == NULL) {
    if (attr->name[0] != '\0') measure->label = measure->name;
    return DT_OK;
  }
  measure->label = measure->name;
  return dt_graph_builder_format(g->b, &measure->counts, "%s_%s", measure->name, measure->counts);
}

/* What the outputs of a node mean: to the first loss over them, else to the first of all. */
static dt_prediction prediction_of(const goal_builder *g, int input) {
  int of = 0;
  for (int i = g->goals->loss_count - 1; i >= 0; i--) of = loss_node(g, i)->input[0] == input ? i : of;
  return ((const dt_loss *)loss_node(g, of)->layer)->output;
}

/* What the metric's own node would refuse, where it uses another's. */
static dt_status check_options(const goal_builder *g, const dt_choice *choice, int input) {
  const dt_shape *const in[] = {&node_at(g, input)->shape};
  dt_node tried = {.name = choice->kind->name, .attr = choice->attr, .input_count = 1};
  if (((const dt_metric *)choice->kind->impl)->layer.infer(&tried, in) == DT_OK) return DT_OK;
  char why[HINT_TEXT];
  snprintf(why, sizeof why, "%s", dt_error_text());
  dt_error_clear();
  return dt_config_error_at(g->config, choice->origin, "%s: %s", choice->kind->name, why);
}

static dt_status add_metric(goal_builder *g, const dt_choice *asked) {
  dt_choice used = *asked;
  const dt_choice *choice = &used;
  const dt_metric_attr *attr = choice->attr;
  const dt_metric *metric = choice->kind->impl;
  const char *name = attr->name[0] != '\0' ? attr->name : choice->kind->name;
  int input, node, sum;
  DT_TRY(find_input(g, choice, attr->of, loss_node(g, 0)->input[0], &input));
  if (metric->of_labels != NULL && prediction_of(g, input) == DT_OUTPUT_LABELS) used.kind = metric->of_labels;
  metric = used.kind->impl;
  const char *target = attr->target[0] != '\0' ? attr->target : dt_graph_target(g->b, g->goals->loss[0].node);
  const int loss = find_loss_with(g, choice->kind, input, attr->target);
  node = find_node_with(g, metric, input, target);
  sum = 0;
  if (node >= 0) DT_TRY(check_options(g, choice, input));
  if (loss >= 0) {
    node = g->goals->loss[loss].node;
    sum = ((const dt_loss *)node_at(g, node)->layer)->metric_sum;
  } else if (node < 0) {
    DT_TRY(check_name(g, choice, name));
    DT_TRY(dt_graph_add(g->b, choice, name, input, &node));
    DT_TRY(set_target(g, node, metric->field(&node_at(g, input)->shape), target));
  }
  dt_measure measure = measure_of(metric, name, &node_at(g, node)->sum[sum], sums_before(g, node) + sum);
  measure.attr = choice->attr;
  measure.outputs = dt_shape_count(&node_at(g, input)->shape);
  DT_TRY(name_counts(g, attr, &measure));
  return add_measure(g, choice->origin, &measure);
}

/* The metric that the first loss has among its sums, where the config asks for none. */
static dt_status add_default_metric(goal_builder *g) {
  static const dt_metric_attr attr = {.name = "", .of = "", .target = ""};
  const dt_loss *loss = (const dt_loss *)loss_node(g, 0)->layer;
  if (!loss->shows_metric) return DT_OK;
  const dt_choice choice = {.kind = dt_kind_find(dt_metric_kinds, loss->metric, strlen(loss->metric)),
                            .attr = (void *)(uintptr_t)&attr,
                            .origin = loss_node(g, 0)->origin};
  return add_metric(g, &choice);
}

static dt_status add_metrics(goal_builder *g) {
  const dt_choices *metrics = &g->spec->eval.metrics;
  if (metrics->count == 0) return add_default_metric(g);
  for (int i = 0; i < metrics->count; i++) DT_TRY(add_metric(g, &metrics->item[i]));
  return DT_OK;
}

static void choose_chief(dt_goals *goals) {
  for (int i = goals->measure_count - 1; i > 0; i--) {
    if (!goals->measure[i].record_only && goals->measure[i].bins == 0) goals->chief = i;
  }
}

/* --- what the config names --- */

static const char *next_measure_name(const void *context, int index) {
  const dt_goals *goals = context;
  return index < goals->measure_count ? goals->measure[index].name : NULL;
}

int dt_goals_find(const dt_goals *goals, const char *name) {
  if (name == NULL || name[0] == '\0') return goals->chief;
  for (int i = 0; i < goals->measure_count; i++) {
    if (strcmp(goals->measure[i].name, name) == 0 && goals->measure[i].bins == 0) return i;
  }
  return -1;
}

static dt_status check_measure(const goal_builder *g, const char *key, const char *const *value) {
  char all[512] = "", hint[HINT_TEXT];
  if (dt_goals_find(g->goals, *value) >= 0) return DT_OK;
  for (int i = 0; i < g->goals->measure_count; i++) {
    const dt_measure *m = &g->goals->measure[i];
    const size_t used = strlen(all);
    if (m->bins == 0) snprintf(all + used, sizeof all - used, "%s%s", used > 0 ? ", " : "", m->name);
  }
  return dt_config_error_at(g->config, dt_config_origin(g->config, value),
                            "%s: found \"%.60s\", expected a measure of this network (%s), or another metric in eval.metrics%s",
                            key, *value, all,
                            dt_did_you_mean(dt_name_nearest(*value, next_measure_name, g->goals), hint, sizeof hint));
}

/* There is one best checkpoint. */
static dt_status check_restore(const goal_builder *g) {
  const char *best = g->spec->checkpoint.best;
  const int watched = dt_goals_find(g->goals, g->spec->train.early_stopping.metric);
  if (!g->spec->train.early_stopping.restore || best[0] == '\0' || dt_goals_find(g->goals, best) == watched) return DT_OK;
  return dt_config_error_at(g->config, dt_config_origin(g->config, &g->spec->checkpoint.best),
                            "checkpoint.best: found %s, expected %s, which train.early_stopping restores the best of", best,
                            g->goals->measure[watched].name);
}

/* A share is no percentage. */
static dt_status check_target(const goal_builder *g) {
  const double *value = &g->spec->target.value;
  const dt_measure *m = &g->goals->measure[dt_goals_find(g->goals, g->spec->target.metric)];
  if (*value == 0 || !m->percent || (*value > 0 && *value <= 1)) return DT_OK;
  return dt_config_error_at(g->config, dt_config_origin(g->config, value),
                            "target.%s: found %g, expected a share above 0 and at most 1", m->name, *value);
}

/* Sums have a fixed number of places on a GPU. */
static dt_status check_sums(const goal_builder *g) {
  if (sums_before(g, dt_graph_builder_count(g->b)) <= DT_SUMS_MAX) return DT_OK;
  return dt_config_error_at(g->config, g->spec->model.loss.item[0].origin, "found losses and metrics with more than %d sums",
                            (int)DT_SUMS_MAX);
}

dt_status dt_graph_add_goals(dt_graph_builder *b, int last, dt_goals *out) {
  const dt_config *config = dt_graph_builder_config(b);
  goal_builder g = {.b = b, .config = config, .spec = dt_config_spec(config), .goals = out, .last = last};
  *out = (dt_goals){.loss_count = 0};
  for (int i = 0; i < g.spec->model.loss.count; i++) DT_TRY(add_loss(&g, i));
  DT_TRY(check_reached(&g));
  DT_TRY(add_loss_measures(&g));
  DT_TRY(add_metrics(&g));
  DT_TRY(check_sums(&g));
  choose_chief(out);
  DT_TRY(check_measure(&g, "target.metric", &g.spec->target.metric));
  DT_TRY(check_target(&g));
  DT_TRY(check_measure(&g, "checkpoint.best", &g.spec->checkpoint.best));
  DT_TRY(check_measure(&g, "train.early_stopping.metric", &g.spec->train.early_stopping.metric));
  return check_restore(&g);
}

/* --- values --- */

double dt_measure_value(const dt_goals *goals, const dt_measure *measure, const double *sum, const int64_t *const *bins,
                        double samples) {
  if (measure->eval_only && bins == NULL) return NAN;
  if (measure->derive != NULL) {
    const dt_measured_sums of = {
        .sum = sum + measure->sum, .bins = bins != NULL ? bins[measure->sum] : NULL, .samples = samples};
    return measure->derive(measure, &of);
  }
  if (measure->sum >= 0) return sum[measure->sum] / (samples * (double)measure->per_sample);
  double whole = 0;
  for (int i = 0; i < goals->loss_count; i++) whole += goals->loss[i].weight * sum[goals->loss[i].sum];
  return whole / samples;
}

bool dt_measure_is_better(const dt_measure *measure, double value, double than, double gain) {
  return measure->higher ? value - than > gain : than - value > gain;
}

bool dt_measure_is_told(const dt_measure *measure, double value) {
  return measure->bins == 0 && !(measure->eval_only && isnan(value));
}

void dt_evaluation_make(const dt_goals *goals, const double *sum, const int64_t *const *bins, int64_t samples,
                        dt_evaluation *out) {
  *out = (dt_evaluation){.samples = samples};
  for (int i = 0; i < goals->measure_count; i++) {
    const dt_measure *m = &goals->measure[i];
    if (m->bins == 0) out->value[i] = dt_measure_value(goals, m, sum, bins, (double)samples);
    if (m->counts != NULL) out->count[i] = llround(sum[m->sum]);
  }
}

/* --- text --- */

const char *dt_measure_text(const dt_measure *measure, double value, char text[DT_MEASURE_TEXT]) {
  char number[DT_NUMBER_TEXT];
  if (measure->percent)
    snprintf(text, DT_MEASURE_TEXT, "%.2f%%", 100 * value);
  else
    snprintf(text, DT_MEASURE_TEXT, "%s", dt_number_text(value, number));
  return text;
}

const char *dt_measures_text(const dt_goals *goals, const double *value, const int64_t *count, int64_t samples,
                             const char *between, char *text, size_t bytes) {
  char number[DT_MEASURE_TEXT];
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < goals->measure_count && used < bytes; i++) {
    const dt_measure *m = &goals->measure[i];
    if (m->record_only || !dt_measure_is_told(m, value[i])) continue;
    used += (size_t)snprintf(text + used, bytes - used, "%s%s %s", used > 0 ? between : "", m->label,
                             dt_measure_text(m, value[i], number));
    if (count == NULL || m->counts == NULL || used >= bytes) continue;
    used += (size_t)snprintf(text + used, bytes - used, " (%lld of %lld)", (long long)count[i],
                             (long long)(samples * m->per_sample));
  }
  return text;
}

int dt_measured_printed(const dt_measured *measured, int i) {
  return i + 1 < measured->count ? i + 1 : 0;
}

void dt_measured_take(const dt_goals *goals, const dt_evaluation *evaluation, dt_measured *out) {
  *out = (dt_measured){.samples = evaluation->samples};
  for (int i = 0; i < goals->measure_count; i++) {
    const dt_measure *m = &goals->measure[i];
    if (m->bins > 0) continue;
    snprintf(out->item[out->count].name, DT_MEASURE_NAME, "%s", m->name);
    out->item[out->count].percent = m->percent;
    out->item[out->count].value = evaluation->value[i];
    out->item[out->count].counted = m->counts != NULL ? evaluation->count[i] : 0;
    out->item[out->count++].of = m->counts != NULL ? evaluation->samples * m->per_sample : 0;
  }
}
