/* The graph: layers in topological order with shapes, made from the config's nested list.
 *
 * Composite kinds (residual, branches) expand into nodes here, so that from the graph on everything is a flat list. An RNN
 * cell unrolls the same way, into nodes that share parameter declarations. */
#ifndef DT_CORE_PROGRAM_GRAPH_H
#define DT_CORE_PROGRAM_GRAPH_H

#include "core/config/spec.h"
#include "core/field.h"
#include "core/tensor.h"

enum { DT_NODE_INPUTS = 8, DT_NODE_PARAMS = 4, DT_NODE_STATES = 2, DT_NODE_SUMS = 4 };

typedef enum dt_init_rule { DT_INIT_ZERO, DT_INIT_ONE, DT_INIT_KAIMING_UNIFORM, DT_INIT_LOSS_SCALE } dt_init_rule;

/* The state of loss scaling (fp16), of the loss node: gradients are computed times a scale that grows while they stay finite.
 */
#define DT_LOSS_SCALE_ROLE "loss_scale"
enum {
  DT_LOSS_SCALE_NEXT,  /* the scale of the next step */
  DT_LOSS_SCALE_STEPS, /* steps since it last changed */
  DT_LOSS_SCALE_SKIP,  /* 1 when this step's update is skipped */
  DT_LOSS_SCALE_USED,  /* the scale of this step's gradients */
  DT_LOSS_SCALE_COUNT
};
/* Gradients are of sums over samples, at most 1 a logit, and fp16 ends at 65504. */
static const float dt_loss_scale_first = 1024;

/* How the elements of a tensor lie on a device that keeps channels last; everywhere else they lie in the order of its shape. */
typedef enum dt_layout {
  DT_LAYOUT_PLAIN,  /* in the order of its shape, there too */
  DT_LAYOUT_FILTER, /* [O, I, KH, KW] lies as [O, KH, KW, I] */
} dt_layout;

/* What a layer declares of a trained parameter or of a state tensor (running statistics). */
typedef struct dt_param_decl {
  const char *role; /* "weight", "bias", "running_mean": the last part of its name */
  dt_shape shape;
  dt_layout layout;
  dt_init_rule init;
  double bound; /* KAIMING_UNIFORM: drawn from [-bound, bound); PyTorch's default 1/sqrt(fan_in) */
} dt_param_decl;

/* A trained parameter of the graph. Nodes refer to it by its index, so that several may use the same one. */
typedef struct dt_graph_param {
  const char *name; /* "conv1.weight": the first node's that uses it, and the role */
  int node;         /* that node */
  dt_param_decl decl;
  double lr_scale; /* times the learning rate */
  bool decay;      /* whether weight decay applies */
  bool frozen;     /* it stays as it is */
} dt_graph_param;

/* A sum over samples that a node declares. The node computes a term a sample, in single precision or better; TALLY sums the
 * terms of a step in the gradient block, SCORE those of an evaluation in integers (core/program/sums.h). */
typedef enum dt_sum_kind {
  DT_SUM_REAL,      /* of real terms */
  DT_SUM_COUNT,     /* of terms that are small integers */
  DT_SUM_HISTOGRAM, /* a term is an index below `bins`: how often each occurs. In evaluations only */
} dt_sum_kind;

typedef struct dt_sum_decl {
  const char *name; /* "loss", "correct" */
  dt_sum_kind kind;
  int64_t bins;
  int64_t per_sample; /* what a sample counts at most, by which a COUNT's mean is divided */
} dt_sum_decl;

typedef struct dt_layer dt_layer;

typedef struct dt_node {
  const char *name; /* "conv1", "residual2.bn1": unique; the kind counted within its list, or what the config calls it */
  const dt_layer *layer;
  const void *attr; /* the kind's struct */
  dt_origin origin;
  int index;
  int input[DT_NODE_INPUTS]; /* node indices; the graph's input is node 0 */
  int input_count;
  int field;       /* of an input: which it is; of a loss: its target, -1 for none; an index in dt_graph.field */
  int mixed_field; /* of a loss over classes: its target in training where samples are mixed; 0 = none */
  dt_shape shape;  /* of the output */
  dt_param_decl param[DT_NODE_PARAMS]; /* as the layer declared them */
  int param_index[DT_NODE_PARAMS];     /* of each in the graph's list */
  int param_count;
  bool frozen; /* it has parameters, and all stay as they are: so do its states */
  dt_param_decl state[DT_NODE_STATES];
  int state_count;
  dt_sum_decl sum[DT_NODE_SUMS];
  int sum_count;
} dt_node;

enum { DT_LOSSES_MAX = 8, DT_MEASURES_MAX = 24, DT_SUMS_MAX = 32, DT_MEASURE_NAME = 48 };

/* What a measure is made of where it is no mean: a node's own sums over so many samples. bins: the counts of the histogram that
 * is the first of them; NULL in training, which has none. */
typedef struct dt_measured_sums {
  const double *sum;
  const int64_t *bins;
  double samples;
} dt_measured_sums;

/* A number that tells how good a network is: a mean over samples of a node's sum, or what is made of its sums, or the loss that
 * training makes small. */
typedef struct dt_measure {
  const char *name;   /* "loss", "accuracy": in the config and the record */
  const char *label;  /* in lines of text: "acc" */
  const char *counts; /* in the record, of what it is the share: "correct"; NULL where its sum is no count */
  bool percent;       /* how it is written in text */
  bool higher;        /* more is better */
  bool record_only;   /* it is in no line of text */
  int sum;            /* among the sums of all nodes, in the order of the graph; -1: all losses, each times its weight */
  int64_t per_sample; /* of a COUNT */
  int64_t bins;       /* of a HISTOGRAM, which is a matrix and no number: in evaluations only; 0 for others */
  double (*derive)(const struct dt_measure *measure, const dt_measured_sums *of); /* NULL: a mean */
  const void *attr;                                                               /* of its metric */
  int64_t outputs; /* numbers of a sample that are judged: classes */
  bool eval_only;  /* in training its value is NaN, and not told */
} dt_measure;

/* What training makes small, and what it is judged by. */
typedef struct dt_goals {
  struct {
    int node, sum; /* sum: among the sums of all nodes */
    double weight;
  } loss[DT_LOSSES_MAX]; /* the first gives the predictions */
  int loss_count;
  dt_measure measure[DT_MEASURES_MAX]; /* the first is the loss */
  int measure_count;
  int chief; /* the measure that counts where the config names none: the first metric, else the loss */
} dt_goals;

typedef struct dt_graph {
  const dt_config *config; /* for errors that point at a node's place */
  dt_node *node;           /* inputs first; losses, then metrics come last */
  int count, input_count;
  dt_graph_param *param; /* in the order of the nodes that own them */
  int param_count;
  /* What the network needs of a sample: what inputs read, then targets. The data say of what type an input is
   * (dt_graph_take_fields); before that it is what the format declares. */
  dt_field field[DT_FIELDS_MAX];
  int field_count;
  dt_goals goals;
} dt_graph;

/* Builds nodes and infers shapes; errors point at the layer's line in the config. DT_USAGE. Returns new; borrows the config,
 * which must outlive the graph. */
dt_status dt_graph_create(const dt_config *config, dt_graph **out);
void dt_graph_destroy(dt_graph **graph);

/* Fields that inputs read; the others, from there on, are targets. */
int dt_graph_input_fields(const dt_graph *graph);
/* Takes from the data what the config does not say: types, layouts, the most entries of a sample. Before a program is made.
 * Fields that the data lack stay as they are. */
void dt_graph_take_fields(dt_graph *graph, const dt_fields *data);

/* Whether every layer can be trained on a shard that holds `samples` samples of a batch, 1 or more; `remedy` says how such
 * shards are avoided. The error points at the layer's line in the config. DT_USAGE. */
dt_status dt_graph_check_shard(const dt_graph *graph, const dt_config *config, int64_t samples, const char *remedy);

/* trainable[count]: whether the node or anything before it has parameters that are trained, so that a gradient must reach its
 * output. */
void dt_graph_find_trainable(const dt_graph *graph, bool *trainable);

/* For composite kinds while the graph is built: appends a node named `name`, or a whole list whose nodes are named
 * `scope.kind<i>` or `scope.name`, and returns the index of its output. */
typedef struct dt_graph_builder dt_graph_builder;
dt_status dt_graph_add(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node);
dt_status dt_graph_add_list(dt_graph_builder *b, const dt_choices *list, const char *scope, int input, int *out_node);
/* Appends a node of a kind that has several inputs and takes no options (add, concat). */
dt_status dt_graph_add_join(dt_graph_builder *b, const dt_kind *kind, const char *name, const int *input, int input_count,
                            dt_origin origin, int *out_node);
const dt_node *dt_graph_builder_node(const dt_graph_builder *b, int index);
int dt_graph_builder_count(const dt_graph_builder *b);
const dt_config *dt_graph_builder_config(const dt_graph_builder *b);
/* The node that the name means in the outermost list: a layer, an input, or what comes out of a composite; -1 = none. */
int dt_graph_builder_find(const dt_graph_builder *b, const char *name);
/* ": input, conv1, relu1 (did you mean "conv1"?)": the last few of such names, of nodes up to `last`. Returns text. */
const char *dt_graph_builder_hint(const dt_graph_builder *b, int last, const char *found, char *text, size_t bytes);
/* The name of a loss's or a metric's target. */
const char *dt_graph_target(const dt_graph_builder *b, int node);
/* Makes a field of the sample the node's target. One that is there under that name must be the same, or, where an input reads
 * it, numbers of that shape or as many as the vector that is compared with them: DT_USAGE. */
dt_status dt_graph_set_target(dt_graph_builder *b, int node, const dt_field *field);
/* Gives a loss over `classes` classes, whose target is a label, a target of probabilities in training, which data.mix makes of
 * it. DT_USAGE. */
dt_status dt_graph_mix_target(dt_graph_builder *b, int node, int64_t classes);
/* goals.c: adds the losses and metrics that the config names, over the network whose last node is `last`; every node must reach
 * a loss. DT_USAGE, at the place in the config. */
dt_status dt_graph_add_goals(dt_graph_builder *b, int last, dt_goals *out);
/* Memory that lives as long as the graph, zeroed (for attrs that a composite makes up). DT_MEMORY. */
dt_status dt_graph_builder_alloc(dt_graph_builder *b, size_t bytes, void *out_pointer);
/* A name or an attr's text in such memory. */
dt_status dt_graph_builder_format(dt_graph_builder *b, const char **out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
