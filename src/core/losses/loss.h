/* The contract of a loss: one file in core/losses, one row in dt_loss_kinds, and an op (core/program/ops.def), of which most
 * losses have one of their own.
 *
 * A loss is a node that compares what a layer gives, its input, with a field of the sample, its target; a penalty of activities
 * is one that has no target (field NULL) and looks at its input alone. Its instruction
 * computes terms of each sample, the loss first, and in training the gradient of weight * loss with respect to its input. Sums
 * over samples, dividing and reporting are done for all losses alike.
 *
 * What divides: a loss is a mean over what it counts, and every loss that there is counts samples. Sums are never divided
 * before they are whole; the update divides the gradient once, by dt_step.batch_samples, which the host knows before the step
 * starts. dt_loss_attr.weight is one number, which multiplies and does not divide.
 *
 * A loss that counts something else (tokens, weights of classes) declares that count as a sum, by which its value is
 * divided, and multiplies its gradient by batch_samples over the count of the whole batch: the sampler names the batch's
 * samples, so the host can know that factor before the step as well, and buckets are reduced while backward goes on. Both are
 * then what torch.nn.CrossEntropyLoss(weight=...) with reduction "mean" does, sum of w[label] * loss over sum of w[label], with
 * the whole global batch as PyTorch's batch, not each rank's part of it. */
#ifndef DT_CORE_LOSSES_LOSS_H
#define DT_CORE_LOSSES_LOSS_H

#include <math.h>
#include <stddef.h>

#include "core/config/rows.h"
#include "core/layers/layer.h"

/* The options of every loss. A loss with options of its own has a struct whose first member is this one, so that a pointer to
 * the one is a pointer to the other (C11 6.7.2.1, 15), and a table of options that begins with DT_LOSS_ROWS. */
typedef struct dt_loss_attr {
  const char *name, *of, *target; /* "" = left out; target is NULL where the loss has none */
  double weight;
} dt_loss_attr;

/* What the output of the loss's input means, and the function that predictions take of it. */
typedef enum dt_prediction {
  DT_OUTPUT_CLASSES, /* one class: softmax gives a probability for each */
  DT_OUTPUT_LABELS,  /* yes or no for each element: sigmoid gives its probability */
  DT_OUTPUT_NUMBERS, /* the numbers themselves */
} dt_prediction;

typedef struct dt_loss {
  dt_layer layer; /* first: a node's layer is its loss. infer checks the input's shape and declares the sums, the loss first */
  dt_op op;       /* X, TARGET, if it has one -> TERMS, DX */
  /* Writes what the kernel needs of the loss's own options; param comes in as zeros. NULL: it has none. */
  void (*set_params)(const void *attr, double param[DT_LOSS_PARAMS]);
  dt_prediction output;
  /* What it expects of the field, and its name unless the config has one. NULL: it has no target. */
  dt_field (*field)(const void *attr, const dt_shape *x);
  const char *metric; /* a metric kind that one of its sums is too, one without options of its own; NULL = none */
  int metric_sum;     /* which */
  bool shows_metric;  /* the metric is told where the config names none */
} dt_loss;

/* layer.infer of a loss that takes any shape and declares its own sum alone. */
dt_status dt_loss_infer_numbers(dt_node *node, const dt_shape *const *in);
/* dt_loss.field of a loss that compares number by number: floats of the input's shape, `target`. */
dt_field dt_loss_like_input(const void *attr, const dt_shape *x);
/* layer.forward of every loss. */
dt_status dt_loss_forward(dt_builder *b, const dt_node *node);

/* The rows of dt_loss_attr, with which every loss's table of options begins; of penalties, those without a target. */
#define DT_LOSS_ROWS                                                                                                          \
  DT_ROW_STRING("of", offsetof(dt_loss_attr, of), "",                                                                         \
                "Name of the layer, as describe prints it, whose output is compared; without it, the last one.", .max = 200), \
      DT_ROW_STRING(                                                                                                          \
          "target", offsetof(dt_loss_attr, target), "",                                                                       \
          "Field of a sample that it is compared with; without it, label where that is a class, else target. It may be "      \
          "one that an input reads, whose bytes count in 255ths as they do there, before normalisation.",                     \
          .max = 200),                                                                                                        \
      DT_LOSS_SUM_ROWS
#define DT_PENALTY_ROWS                                                                                                    \
  DT_ROW_STRING("of", offsetof(dt_loss_attr, of), "",                                                                      \
                "Name of the layer, as describe prints it, whose output it is of; without it, the last one.", .max = 200), \
      DT_LOSS_SUM_ROWS
#define DT_LOSS_SUM_ROWS                                                                                                   \
  DT_ROW_REAL("weight", offsetof(dt_loss_attr, weight), "1", 0, INFINITY,                                                  \
              "What the loss, a mean over samples, is multiplied by where several are added up. One number: there are no " \
              "weights of classes.",                                                                                       \
              .open_min = true),                                                                                           \
      DT_ROW_STRING("name", offsetof(dt_loss_attr, name), "",                                                              \
                    "Its name in the record; without it loss, or loss1, loss2 and so on where there are several.", .max = 40)

/* The kind of a loss that has no other options; those that have are made by DT_KIND_LIKE. */
#define DT_LOSS_KIND(kind_name, text, loss_impl) DT_KIND_LIKE(kind_name, text, dt_loss_options, dt_loss_attr, loss_impl)

extern const dt_option dt_loss_options[], dt_penalty_options[];
extern const dt_kind dt_loss_cross_entropy;
extern const dt_kind dt_loss_mse;
extern const dt_kind dt_loss_huber;
extern const dt_kind dt_loss_binary_cross_entropy;
extern const dt_kind dt_loss_activity_l1;
extern const dt_kind dt_loss_activity_l2;
extern const dt_kind dt_loss_activity_kl;

#endif
