/* A whole network under test: config text -> graph -> program -> device -> executor, with data and first
 * parameters from fill.h. What a test does with it reads as: open, fill, step, compare, close. */
#ifndef DT_TESTS_SUPPORT_NET_H
#define DT_TESTS_SUPPORT_NET_H

#include "train/executor.h"

typedef struct net_options {
  const char *input;     /* "3, 9, 7" */
  const char *inputs;    /* in place of it: "{left: [3, 9, 7], right: [4]}" */
  const char *layers;    /* YAML on one line: "[{conv: {filters: 4, kernel: 3}}, flatten, {linear: 3}]" */
  const char *optimizer; /* NULL = plain SGD */
  const char *average;   /* "{ema: 0.9}"; NULL = none */
  const char *train;     /* further keys of train: ", decayed: weights"; NULL = none */
  int64_t global_batch;
  int shards, micro_batch_shards; /* micro_batch_shards 0 = as many as go */
  double lr, clip_norm;
  bool pixels; /* bytes come in, not floats */
  dt_status (*device)(const dt_device_options *options, dt_device **out);
  int threads;
  const char *precision; /* NULL = fp32 */
  dt_comm *comm;         /* borrowed until net_close; NULL = a world of one */
  const char *loss;      /* YAML; NULL = cross_entropy */
  const char *metrics;   /* YAML; NULL = those that go with the loss */
  bool byte_targets;     /* targets of floats come as bytes 0 and 1 */
} net_options;

typedef struct net {
  net_options options;
  dt_config *config;
  const dt_spec *spec;
  dt_graph *graph;
  dt_device *device;
  dt_tree *tree;
  dt_comm *comm;
  dt_reducer *reducer;
  dt_program *train, *eval;
  dt_executor *trainer, *scorer;
  float *scale, *shift; /* [channels of all inputs] */
  /* The batch of the next micro-batch. */
  dt_batch batch;
  void *field[DT_FIELDS_MAX]; /* [places][shape] of each, in its own type */
  int32_t *filled;
  int64_t *place;
  const char *tag; /* names the data of this step */
  int64_t samples; /* in this step's global batch */
  int next_micro_batch;
  int64_t steps; /* that were made */
} net;

/* What a step has come to. */
typedef struct net_sums {
  double statistic[DT_STATISTIC_COUNT];
  double sum[DT_SUMS_MAX], nonfinite[DT_SUMS_MAX];
  double grad_norm, penalty;
} net_sums;

/* Fails the test with the error's text. */
#define NET_OK(call) net_require((call), #call)
void net_require(dt_status status, const char *call);
/* Zeroed memory, for free(). */
void *net_memory(size_t bytes);

/* The field of that name in the next batch, [places][shape]; fails the test when there is none. */
void *net_field(const net *n, const char *name);

/* The config of the options, for dt_config_destroy. */
dt_config *net_config(const net_options *options);
void net_open(net *n, const net_options *options);
void net_close(net *n);

/* Flat blocks of the training program as doubles. */
typedef enum net_block { NET_PARAM, NET_GRAD, NET_STATE } net_block;
void net_read(const net *n, net_block block, int64_t offset, int64_t count, double *out);
void net_write(const net *n, net_block block, int64_t offset, int64_t count, const double *in);
/* First parameters and running statistics. */
void net_fill(net *n);
/* A parameter or state of that name; fails the test when there is none. */
const dt_param *net_find(const dt_param *list, int count, const char *name);
/* What the gradients of the last step are multiplied with: 1 but for fp16 on a gpu. */
double net_loss_scale(const net *n);
int64_t net_classes(const net *n);
/* One training step on `samples` samples of the batch named tag. */
void net_step(net *n, const char *tag, int64_t samples, int64_t samples_seen, net_sums *out);
void net_take_sums(const net *n, const dt_step_result *outcome, net_sums *out);
/* The loss that training makes small, a sum over samples. */
double net_loss(const net *n, const net_sums *sums);
/* A sum by its name: of a step, and of a score. */
double net_sum(const net *n, const net_sums *sums, const char *name);
double net_score(const net *n, const int64_t *score, const char *name);
/* Evaluates the batch named tag: logits [samples][classes], and its score, [n->eval->score_words]. */
void net_evaluate(net *n, const char *tag, int64_t samples, double *logits, int64_t *score);

#endif
