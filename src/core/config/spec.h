/* The spec: a config file after parsing, checking and filling in defaults. Immutable from then on.
 *
 * dt_spec_options (spec.c) is the one table behind the parser, --help, describe --resolved and docs/config.md. */
#ifndef DT_CORE_CONFIG_SPEC_H
#define DT_CORE_CONFIG_SPEC_H

#include <stdio.h>

#include "core/config/options.h"

typedef enum dt_device_choice { DT_DEVICE_AUTO, DT_DEVICE_GPU, DT_DEVICE_CPU, DT_DEVICE_REFERENCE } dt_device_choice;
typedef enum dt_math { DT_MATH_OWN, DT_MATH_BLAS } dt_math;
typedef enum dt_reduce_mode { DT_REDUCE_ORDERED, DT_REDUCE_FAST } dt_reduce_mode;
typedef enum dt_transport {
  DT_TRANSPORT_AUTO,
  DT_TRANSPORT_SHARED,
  DT_TRANSPORT_MESSAGES,
  DT_TRANSPORT_NCCL,
  DT_TRANSPORT_STAGED
} dt_transport;
typedef enum dt_precision { DT_FP32, DT_TF32, DT_BF16, DT_FP16 } dt_precision;
typedef enum dt_sampling { DT_SAMPLING_ONCE, DT_SAMPLING_BALANCED, DT_SAMPLING_WEIGHTED } dt_sampling;
typedef enum dt_last_batch { DT_LAST_SHORT, DT_LAST_DROP } dt_last_batch;
typedef enum dt_decayed { DT_DECAY_ALL, DT_DECAY_WEIGHTS } dt_decayed;
typedef enum dt_scaling_rule { DT_SCALE_NONE, DT_SCALE_LINEAR, DT_SCALE_SQRT } dt_scaling_rule;

/* A hyper-parameter over time; a bare number means constant. See core/optim/schedule.h. */
typedef struct dt_schedule_spec {
  double peak;
  dt_duration warmup;
  double warmup_from; /* fraction of peak at sample 0 */
  dt_choice decay;    /* kinds: dt_decay_kinds */
  double final;       /* value at the end, for the decays that have one */
} dt_schedule_spec;

/* An input of the network: an item of model.inputs. */
typedef struct dt_input {
  dt_ints shape;      /* [C, H, W] or [D] */
  const char *field;  /* of the data; "" = that of the input's own name */
  dt_reals mean, std; /* as in data, of this input alone */
} dt_input;

typedef struct dt_spec {
  const char *name, *output;
  uint64_t seed;
  int device;        /* dt_device_choice */
  int64_t threads;   /* 0 = auto */
  int math;          /* dt_math */
  int precision;     /* dt_precision: what a gpu multiplies in; parameters are fp32 everywhere */
  const char *plans; /* "auto", "off" or a file: choices of a gpu's library engines that were timed ahead */
  struct {
    const char *dir;
    dt_choice train, eval; /* kinds: dt_format_kinds */
    struct {
      bool given;
      double fraction; /* of the training set that makes the evaluation set; 0 = none */
      uint64_t seed;
      bool stratified;
    } split;
    dt_choices augment; /* kinds: dt_augment_kinds, applied in order to training samples */
    dt_choices mix;     /* kinds: dt_mix_kinds, one of which is drawn for a training sample */
    double label_noise; /* part of the training samples whose class is another one; 0 = none */
    dt_strings classes; /* names, one for each output of the network; empty = they have none */
    dt_reals mean, std; /* of the only input, per channel, in units of pixel / 255; empty = measured on the training set */
    struct {
      int rule;          /* dt_sampling */
      const char *field; /* WEIGHTED: of the weights */
    } sampling;
    bool shuffle;
    bool device_cache; /* a gpu keeps the data set in its memory where it fits */
    int last_batch;    /* dt_last_batch */
    int64_t prefetch;  /* batches read ahead */
    int64_t threads;   /* prefetch threads */
  } data;
  struct {
    dt_named inputs;   /* dt_input */
    dt_choices layers; /* kinds: dt_layer_kinds */
    dt_choices loss;   /* kinds: dt_loss_kinds; training makes their weighted sum small */
  } model;
  struct {
    int64_t global_batch, shards;
    int64_t micro_batch_shards;               /* shards run at once; 0 = as many as a rank holds. Never changes a bit. */
    dt_duration length;                       /* option "length", or "epochs: 10" as short for "length: 10 epochs" */
    double clip_norm, clip_value, clip_units; /* 0 = off */
    double max_norm;                          /* of a row of weights; 0 = off */
    double l1, l2;                            /* penalties of the parameters that weight decay takes; 0 = off */
    dt_choices groups;                        /* kinds: dt_group_kinds; of parameters by their names (core/config/group.h) */
    struct {
      bool given;
      const char *metric; /* "" or NULL = the chief measure (core/program/graph.h) */
      int64_t patience;   /* evaluations in a row without gain, after which training ends */
      double min_gain;
      bool restore; /* the best evaluation's state is kept, and is what the run leaves behind */
    } early_stopping;
    int decayed; /* dt_decayed: which parameters weight decay and penalties take */
  } train;
  dt_choice solver;    /* kinds: dt_solver_kinds */
  dt_choice optimizer; /* kinds: dt_optimizer_kinds */
  dt_choice average;   /* kinds: dt_average_kinds; none = evaluations take the weights as they are */
  struct {
    dt_schedule_spec lr;
    dt_others other; /* of dt_schedule_spec, by the name of another hyper-parameter of the optimizer */
    struct {
      int rule; /* dt_scaling_rule */
      int64_t base_batch;
    } scaling;
  } schedule;
  struct {
    dt_duration every;
    int64_t keep;
    const char *best; /* the measure whose best evaluation's state is kept beside them; "" = none */
  } checkpoint;
  struct {
    dt_duration every;  /* evaluation */
    dt_choices metrics; /* kinds: dt_metric_kinds; none = what the first loss suggests */
  } eval;
  struct {
    int reduce;           /* dt_reduce_mode */
    int transport;        /* dt_transport */
    int64_t bucket_bytes; /* 0 = auto: the device's */
  } comm;
  struct {
    dt_duration every;    /* metrics line */
    dt_duration terminal; /* the least between two lines of text */
  } log;
  struct {
    dt_duration every; /* replicas compared by hash */
    bool engines;      /* of a GPU's libraries tried out before the first step */
  } verify;
  struct {
    const char *metric; /* training ends when an evaluation's value of this measure ... */
    double value;       /* ... is as good as this; 0 = off */
  } target;
  dt_strings replaced; /* no option: what overrides replaced with all that belonged to it, a sentence each */
} dt_spec;

/* Whether the best evaluation's state is kept, and by which measure; "" or NULL: the chief one. */
static inline bool dt_spec_keeps_best(const dt_spec *spec) {
  return spec->checkpoint.best[0] != '\0' || spec->train.early_stopping.restore;
}
static inline const char *dt_spec_best(const dt_spec *spec) {
  const bool own = spec->checkpoint.best[0] == '\0' && spec->train.early_stopping.restore;
  return own ? spec->train.early_stopping.metric : spec->checkpoint.best;
}

static inline const dt_input *dt_spec_input(const dt_spec *spec, int i) {
  return (const dt_input *)spec->model.inputs.item[i].attr;
}
/* The field of the data that feeds it. */
static inline const char *dt_spec_input_field(const dt_spec *spec, int i) {
  const char *field = dt_spec_input(spec, i)->field;
  return field[0] != '\0' ? field : spec->model.inputs.name[i];
}

typedef struct dt_config dt_config; /* owns the memory behind a spec, and each value's origin */

extern const dt_option dt_spec_options[];

/* Reads a config file and `a.b=c` overrides (docs/config.md tells their rules); one that begins with dashes (--device=cpu) is
 * named so in messages, the others are --set. All errors of the file
 * are reported together in dt_error_text, one `file:line:col: found, expected` each with the source line and a caret.
 * DT_USAGE. Not collective. Returns new. */
dt_status dt_config_load(const char *path, const char *const *sets, int set_count, dt_config **out);
/* The same from memory, for tests and fuzzing; `name` stands for the path in messages. */
dt_status dt_config_parse(const char *name, const char *text, size_t bytes, const char *const *sets, int set_count,
                          dt_config **out);
void dt_config_destroy(dt_config **config);
const dt_spec *dt_config_spec(const dt_config *config);

/* Prints the config with every value filled in, as YAML that loads to the same spec. With origins, each line ends with a
 * comment that says where the value came from. */
dt_status dt_config_print(const dt_config *config, bool origins, FILE *out);
/* The same without origins, in memory. Returns new (free, after a failure too). DT_MEMORY. */
dt_status dt_config_print_text(const dt_config *config, char **out_text);
/* Where the value at that address of the spec came from; source "default", and no column, when it was not given. */
dt_origin dt_config_origin(const dt_config *config, const void *value);
/* Error of a semantic check outside the parser: the message in the same form, pointing at the origin. */
dt_status dt_config_error_at(const dt_config *config, dt_origin origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Keys that do not change the trajectory of training (name, output, device, threads, micro_batch_shards, checkpoint.*, log.*,
 * ...: the rows of the table marked keeps_results). A resumed run may change them freely. `path` is dotted, as in --set. */
bool dt_config_keeps_results(const char *path);
/* Differences between two resolved configs as lines `path: old -> new`, keys that keep results left out, and their number. A
 * text that is no config counts as one difference, told by its error; text is newly allocated (free), NULL only without memory.
 */
int dt_config_diff(const char *resolved_old, const char *resolved_new, char **out_text);

/* Version of the YAML library, for the record. */
const char *dt_config_library(void);
/* Writes the reference page of every option, kind and default as Markdown. */
dt_status dt_config_reference(FILE *out);

#endif
