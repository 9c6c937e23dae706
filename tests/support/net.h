/* A whole network under test: config text -> graph -> program -> device -> executor, in a world of one, with data and first
 * parameters from fill.h. What a test does with it reads as: open, fill, step, compare, close. */
#ifndef DT_TESTS_SUPPORT_NET_H
#define DT_TESTS_SUPPORT_NET_H

#include "core/executor.h"

typedef struct net_options {
  const char *input;     /* "3, 9, 7" */
  const char *layers;    /* YAML on one line: "[{conv: {filters: 4, kernel: 3}}, flatten, {linear: 3}]" */
  const char *optimizer; /* NULL = plain SGD */
  int64_t global_batch;
  int shards, pass_shards; /* pass_shards 0 = as many as go */
  double lr, clip_norm;
  bool pixels; /* bytes come in, not floats */
  dt_status (*device)(const dt_device_options *options, dt_device **out);
  int threads;
  const char *precision; /* NULL = fp32 */
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
  float *scale, *shift;
  /* The batch of the next pass. */
  dt_batch batch;
  uint8_t *pixels;
  float *values;
  int32_t *labels, *filled;
  int64_t *place;
  const char *tag; /* names the data of this step */
  int64_t samples; /* in this step's global batch */
  int next_pass;
} net;

/* Fails the test with the error's text. */
#define NET_OK(call) net_require((call), #call)
void net_require(dt_status status, const char *call);
/* Zeroed memory, for free(). */
void *net_memory(size_t bytes);

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
/* One training step on `samples` samples of the batch named tag; tail gets DT_TAIL_COUNT sums. */
void net_step(net *n, const char *tag, int64_t samples, int64_t samples_seen, double *tail);
/* Evaluates the batch named tag: logits [samples][classes], and its score. */
void net_evaluate(net *n, const char *tag, int64_t samples, double *logits, dt_score *score);

#endif
