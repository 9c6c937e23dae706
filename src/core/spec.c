/* The table of every option, and the relations between options that single rows cannot say. */
#include "core/spec.h"

#include <math.h>
#include <string.h>

#include "core/config_internal.h"
#include "core/layer.h"
#include "core/optimizer.h"
#include "core/schedule.h"
#include "data/data.h"

#define AT(field) offsetof(dt_spec, field)
#define IN(group, field) (offsetof(dt_spec, group.field) - offsetof(dt_spec, group))

static const dt_kind *const *const layer_kinds = dt_layer_kinds;
static const dt_kind *const *const loss_kinds = dt_loss_kinds;
static const dt_kind *const *const format_kinds = dt_format_kinds;
static const dt_kind *const *const augment_kinds = dt_augment_kinds;
static const dt_kind *const *const optimizer_kinds = dt_optimizer_kinds;
static const dt_kind *const *const decay_kinds = dt_decay_kinds;

static const char *const auto_word[] = {"auto", NULL};
static const char *const off_word[] = {"off", NULL};
static const char *const device_names[] = {
    [DT_DEVICE_AUTO] = "auto", [DT_DEVICE_GPU] = "gpu", [DT_DEVICE_CPU] = "cpu", [DT_DEVICE_REFERENCE] = "reference", NULL};
static const char *const math_names[] = {[DT_MATH_OWN] = "own", [DT_MATH_BLAS] = "blas", NULL};
static const char *const reduce_names[] = {[DT_REDUCE_ORDERED] = "ordered", [DT_REDUCE_FAST] = "fast", NULL};
static const char *const transport_names[] = {
    [DT_TRANSPORT_AUTO] = "auto", [DT_TRANSPORT_SHARED] = "shared", [DT_TRANSPORT_MESSAGES] = "messages",
    [DT_TRANSPORT_NCCL] = "nccl", [DT_TRANSPORT_STAGED] = "staged", NULL};
static const char *const precision_names[] = {
    [DT_FP32] = "fp32", [DT_TF32] = "tf32", [DT_BF16] = "bf16", [DT_FP16] = "fp16", NULL};
static const char *const last_batch_names[] = {[DT_LAST_SHORT] = "short", [DT_LAST_DROP] = "drop", NULL};
static const char *const scaling_names[] = {
    [DT_SCALE_NONE] = "none", [DT_SCALE_LINEAR] = "linear", [DT_SCALE_SQRT] = "sqrt", NULL};
static const char *const counted_units[] = {"samples", "steps", "epochs", NULL};
static const char *const counted_or_never[] = {"never", "samples", "steps", "epochs", NULL};

static const dt_option data_options[] = {
    {.name = "dir",
     .type = DT_OPT_STRING,
     .fallback = "",
     .neutral = true,
     .offset = IN(data, dir),
     .doc = "Folder that the files below are in; may begin with a variable of the environment, as $DTRAIN_DATA/mnist. Nothing "
            "else is expanded."},
    {.name = "train", .type = DT_OPT_ONE, .kinds = &format_kinds, .offset = IN(data, train), .doc = "The training set."},
    {.name = "eval",
     .type = DT_OPT_ONE,
     .fallback = "",
     .kinds = &format_kinds,
     .offset = IN(data, eval),
     .doc = "The evaluation set; without it nothing is evaluated."},
    {.name = "augment",
     .type = DT_OPT_LIST,
     .fallback = "[]",
     .max = 64,
     .kinds = &augment_kinds,
     .offset = IN(data, augment),
     .doc = "Random changes to training samples, in this order."},
    {.name = "mean",
     .type = DT_OPT_REALS,
     .unit = "pixel / 255",
     .fallback = "",
     .min = -INFINITY,
     .max = INFINITY,
     .offset = IN(data, mean),
     .doc = "Mean of each channel, subtracted from every sample; without it, measured on the training set."},
    {.name = "std",
     .type = DT_OPT_REALS,
     .unit = "pixel / 255",
     .fallback = "",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .offset = IN(data, std),
     .doc = "Standard deviation of each channel, which every sample is divided by; given together with mean."},
    {.name = "shuffle",
     .type = DT_OPT_BOOL,
     .fallback = "true",
     .offset = IN(data, shuffle),
     .doc = "Whether every epoch deals the training samples in an order of its own; false: as they stand in the files."},
    {.name = "resident",
     .type = DT_OPT_BOOL,
     .fallback = "true",
     .neutral = true,
     .offset = IN(data, resident),
     .doc = "Whether a gpu keeps the data set in its memory where it fits; else samples are copied to it step by step."},
    {.name = "last_batch",
     .type = DT_OPT_ENUM,
     .fallback = "short",
     .choices = last_batch_names,
     .offset = IN(data, last_batch),
     .doc = "What becomes of the samples that do not fill the last batch of an epoch: a short batch, or dropped."},
    {.name = "prefetch",
     .type = DT_OPT_INT,
     .unit = "batches",
     .fallback = "4",
     .min = 1,
     .max = 1024,
     .neutral = true,
     .offset = IN(data, prefetch),
     .doc = "Batches prepared ahead."},
    {.name = "threads",
     .type = DT_OPT_INT,
     .fallback = "1",
     .min = 1,
     .max = 256,
     .neutral = true,
     .offset = IN(data, threads),
     .doc = "Threads of a rank that prepare batches."},
    {0},
};

static const dt_option model_options[] = {
    {.name = "input",
     .type = DT_OPT_INTS,
     .min = 1,
     .max = 1 << 20,
     .offset = IN(model, input),
     .doc = "Shape of a sample: [channels, height, width], or [length]."},
    {.name = "layers",
     .type = DT_OPT_LIST,
     .max = DT_CONFIG_LIST_MAX,
     .kinds = &layer_kinds,
     .offset = IN(model, layers),
     .doc = "The network, from the input on; the last layer gives one number per class."},
    {.name = "loss",
     .type = DT_OPT_ONE,
     .fallback = "cross_entropy",
     .kinds = &loss_kinds,
     .offset = IN(model, loss),
     .doc = "What training makes small."},
    {0},
};

static const dt_option train_options[] = {
    {.name = "global_batch",
     .type = DT_OPT_INT,
     .unit = "samples",
     .min = 1,
     .max = 1 << 24,
     .offset = IN(train, global_batch),
     .doc = "Samples of one step, over all ranks: the only batch size there is."},
    {.name = "shards",
     .type = DT_OPT_INT,
     .fallback = "8",
     .min = 1,
     .max = 1 << 16,
     .offset = IN(train, shards),
     .doc = "Pieces that every batch is cut into and that ranks share out; at most global_batch. The result depends on it, and "
            "not on the number of ranks."},
    {.name = "pass_shards",
     .type = DT_OPT_INT,
     .fallback = "auto",
     .min = 1,
     .max = 1 << 16,
     .choices = auto_word,
     .neutral = true,
     .offset = IN(train, pass_shards),
     .doc = "Shards that a rank runs at once; auto: all it has. Fewer take less memory."},
    {.name = "length",
     .type = DT_OPT_DURATION,
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .choices = counted_units,
     .offset = IN(train, length),
     .doc = "How long to train."},
    {.name = "epochs",
     .type = DT_OPT_DURATION,
     .unit = "epochs",
     .fallback = "",
     .short_for = "length",
     .doc = "Short for length: epochs: 10 is length: 10 epochs."},
    {.name = "clip_norm",
     .type = DT_OPT_REAL,
     .fallback = "off",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .choices = off_word,
     .offset = IN(train, clip_norm),
     .doc = "The gradient is scaled down to this global norm where it is longer."},
    {0},
};

/* The rows of a schedule; only the bound of its values differs from one hyper-parameter to the next. */
#define SCHEDULE_ROWS(value_max, open)                                                                              \
  {.name = "peak",                                                                                                  \
   .type = DT_OPT_REAL,                                                                                             \
   .min = 0,                                                                                                        \
   .max = value_max,                                                                                                \
   .open_max = open,                                                                                                \
   .offset = offsetof(dt_schedule_spec, peak),                                                                      \
   .doc = "The value after warm-up, from which it decays."},                                                        \
      {.name = "warmup",                                                                                            \
       .type = DT_OPT_DURATION,                                                                                     \
       .fallback = "0 samples",                                                                                     \
       .choices = counted_units,                                                                                    \
       .offset = offsetof(dt_schedule_spec, warmup),                                                                \
       .doc = "Length of the warm-up, in which the value rises in a straight line to peak."},                       \
      {.name = "warmup_from",                                                                                       \
       .type = DT_OPT_REAL,                                                                                         \
       .fallback = "0.1",                                                                                           \
       .min = 0,                                                                                                    \
       .max = 1,                                                                                                    \
       .offset = offsetof(dt_schedule_spec, warmup_from),                                                           \
       .doc = "Where the warm-up begins, as a fraction of peak."},                                                  \
      {.name = "decay",                                                                                             \
       .type = DT_OPT_ONE,                                                                                          \
       .fallback = "constant",                                                                                      \
       .kinds = &decay_kinds,                                                                                       \
       .offset = offsetof(dt_schedule_spec, decay),                                                                 \
       .doc = "How the value goes on from peak: t counts samples after warm-up, span is their number to the end."}, \
      {.name = "final",                                                                                             \
       .type = DT_OPT_REAL,                                                                                         \
       .fallback = "0",                                                                                             \
       .min = 0,                                                                                                    \
       .max = value_max,                                                                                            \
       .open_max = open,                                                                                            \
       .offset = offsetof(dt_schedule_spec, final),                                                                 \
       .doc = "The value at the end, for the decays whose formula has it."},                                        \
  {                                                                                                                 \
    0                                                                                                               \
  }

static const dt_option lr_options[] = {SCHEDULE_ROWS(1e6, false)};
static const dt_option momentum_options[] = {SCHEDULE_ROWS(1, true)};
static const dt_option weight_decay_options[] = {SCHEDULE_ROWS(1, false)};

static const dt_option scaling_options[] = {
    {.name = "rule",
     .type = DT_OPT_ENUM,
     .fallback = "none",
     .choices = scaling_names,
     .offset = IN(schedule.scaling, rule),
     .doc = "Multiplies the learning rate's peak and final by B / base_batch (linear) or by its square root (sqrt), B being "
            "train.global_batch."},
    {.name = "base_batch",
     .type = DT_OPT_INT,
     .unit = "samples",
     .fallback = "256",
     .min = 1,
     .max = 1 << 24,
     .offset = IN(schedule.scaling, base_batch),
     .doc = "The batch that the configured learning rate is meant for."},
    {0},
};

static const dt_option schedule_options[] = {
    {.name = "lr",
     .type = DT_OPT_MAP,
     .fields = lr_options,
     .positional = "peak",
     .has_given = true,
     .offset = IN(schedule, lr),
     .doc = "The learning rate; a bare number stays constant."},
    {.name = "momentum",
     .type = DT_OPT_MAP,
     .fallback = "",
     .fields = momentum_options,
     .positional = "peak",
     .has_given = true,
     .offset = IN(schedule, momentum),
     .doc = "The optimizer's momentum over time; without it, as in optimizer."},
    {.name = "weight_decay",
     .type = DT_OPT_MAP,
     .fallback = "",
     .fields = weight_decay_options,
     .positional = "peak",
     .has_given = true,
     .offset = IN(schedule, weight_decay),
     .doc = "The optimizer's weight decay over time; without it, as in optimizer."},
    {.name = "scaling",
     .type = DT_OPT_MAP,
     .fields = scaling_options,
     .positional = "rule",
     .offset = IN(schedule, scaling),
     .doc = "How the learning rate follows the batch."},
    {0},
};

static const dt_option checkpoint_options[] = {
    {.name = "every",
     .type = DT_OPT_DURATION,
     .fallback = "5 min",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .offset = IN(checkpoint, every),
     .doc = "Between checkpoints; one is written before the first step and one at the end in any case."},
    {.name = "keep",
     .type = DT_OPT_INT,
     .fallback = "3",
     .min = 2,
     .max = 1 << 20,
     .offset = IN(checkpoint, keep),
     .doc = "Checkpoints kept."},
    {0},
};

static const dt_option eval_options[] = {
    {.name = "every",
     .type = DT_OPT_DURATION,
     .fallback = "1 epoch",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .choices = counted_or_never,
     .offset = IN(eval, every),
     .doc = "Between evaluations; one is made at the end in any case."},
    {0},
};

static const dt_option comm_options[] = {
    {.name = "reduce",
     .type = DT_OPT_ENUM,
     .fallback = "ordered",
     .choices = reduce_names,
     .offset = IN(comm, reduce),
     .doc =
         "ordered: gradients are summed in one fixed tree, the same bits for any number of ranks. fast: as the library likes."},
    {.name = "transport",
     .type = DT_OPT_ENUM,
     .fallback = "auto",
     .choices = transport_names,
     .neutral = true,
     .offset = IN(comm, transport),
     .doc =
         "How ranks exchange gradients. On CPUs: through memory that they share, or by messages; auto: shared where all can. "
         "On GPUs: nccl, or staged through host memory, which lets several ranks share one GPU; auto: nccl where there are "
         "several "
         "ranks."},
    {.name = "bucket_bytes",
     .type = DT_OPT_INT,
     .unit = "bytes",
     .fallback = "1048576",
     .min = 4096,
     .max = 1 << 30,
     .neutral = true,
     .offset = IN(comm, bucket_bytes),
     .doc = "Gradients are exchanged in pieces of about this size while backward goes on."},
    {0},
};

static const dt_option log_options[] = {
    {.name = "every",
     .type = DT_OPT_DURATION,
     .fallback = "10 steps",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .choices = counted_or_never,
     .offset = IN(log, every),
     .doc = "Between lines of metrics."},
    {0},
};

static const dt_option verify_options[] = {
    {.name = "every",
     .type = DT_OPT_DURATION,
     .fallback = "1 epoch",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .choices = counted_or_never,
     .offset = IN(verify, every),
     .doc = "Between comparisons of the ranks' replicas."},
    {0},
};

static const dt_option target_options[] = {
    {.name = "accuracy",
     .type = DT_OPT_REAL,
     .fallback = "off",
     .min = 0,
     .max = 1,
     .open_min = true,
     .choices = off_word,
     .offset = IN(target, accuracy),
     .doc = "Training ends when an evaluation reaches it."},
    {0},
};

const dt_option dt_spec_options[] = {
    {.name = "name",
     .type = DT_OPT_STRING,
     .max = 200,
     .neutral = true,
     .offset = AT(name),
     .doc = "Names the run; no slash. Its files go to output/name."},
    {.name = "output",
     .type = DT_OPT_STRING,
     .fallback = "runs",
     .neutral = true,
     .offset = AT(output),
     .doc = "Folder of all runs."},
    {.name = "seed",
     .type = DT_OPT_UINT64,
     .fallback = "1",
     .offset = AT(seed),
     .doc = "Every random number is a function of it."},
    {.name = "device",
     .type = DT_OPT_ENUM,
     .fallback = "auto",
     .choices = device_names,
     .neutral = true,
     .offset = AT(device),
     .doc = "What computes; reference is slow, plain and in double precision."},
    {.name = "threads",
     .type = DT_OPT_INT,
     .fallback = "auto",
     .min = 1,
     .max = 1024,
     .choices = auto_word,
     .neutral = true,
     .offset = AT(threads),
     .doc = "CPU threads of a rank; auto: the host's cores, shared out among its ranks."},
    {.name = "math",
     .type = DT_OPT_ENUM,
     .fallback = "own",
     .choices = math_names,
     .offset = AT(math),
     .doc = "Whose kernels multiply large matrices; blas may give other bits on another machine."},
    {.name = "precision",
     .type = DT_OPT_ENUM,
     .fallback = "fp32",
     .choices = precision_names,
     .offset = AT(precision),
     .doc = "What a gpu multiplies in: fp32; tf32, fp32 with 10 bits of fraction in products; bf16 or fp16 activations and "
            "products, fp16 with a dynamic loss scale. Parameters and sums are fp32 always. Elsewhere fp32, or double on the "
            "reference device."},
    {.name = "plans",
     .type = DT_OPT_STRING,
     .fallback = "auto",
     .max = 4000,
     .offset = AT(plans),
     .doc =
         "Which engines of cuDNN and cuBLASLt compute on a gpu: those that dtrain bench plans has timed and written into this "
         "file; auto: into the tables that come with dtrain, where one is for this GPU and these libraries; off: those that "
         "the "
         "libraries' heuristics name, which is also what computes what a table does not have."},
    {.name = "data", .type = DT_OPT_MAP, .fields = data_options, .offset = AT(data), .doc = "The samples."},
    {.name = "model", .type = DT_OPT_MAP, .fields = model_options, .offset = AT(model), .doc = "The network."},
    {.name = "train", .type = DT_OPT_MAP, .fields = train_options, .offset = AT(train), .doc = "The training."},
    {.name = "optimizer",
     .type = DT_OPT_ONE,
     .fallback = "sgd",
     .kinds = &optimizer_kinds,
     .offset = AT(optimizer),
     .doc = "How gradients change parameters."},
    {.name = "schedule",
     .type = DT_OPT_MAP,
     .fields = schedule_options,
     .offset = AT(schedule),
     .doc = "Hyper-parameters over time, as functions of the samples seen."},
    {.name = "checkpoint",
     .type = DT_OPT_MAP,
     .fields = checkpoint_options,
     .neutral = true,
     .offset = AT(checkpoint),
     .doc = "What is kept to go on from."},
    {.name = "eval", .type = DT_OPT_MAP, .fields = eval_options, .neutral = true, .offset = AT(eval), .doc = "Evaluation."},
    {.name = "comm", .type = DT_OPT_MAP, .fields = comm_options, .offset = AT(comm), .doc = "Communication between ranks."},
    {.name = "log", .type = DT_OPT_MAP, .fields = log_options, .neutral = true, .offset = AT(log), .doc = "Metrics."},
    {.name = "verify",
     .type = DT_OPT_MAP,
     .fields = verify_options,
     .neutral = true,
     .offset = AT(verify),
     .doc = "Proof that all ranks hold the same parameters."},
    {.name = "target",
     .type = DT_OPT_MAP,
     .fields = target_options,
     .neutral = true,
     .offset = AT(target),
     .doc = "When to stop early."},
    {0},
};

static void check_name(const dt_config *config, dt_config_errors *errors) {
  const char *name = config->spec.name;
  if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    dt_config_complain(errors, dt_config_origin(config, &config->spec.name),
                       "name: found \"%.60s\", expected the name of a folder, without a slash", name);
}

static void check_folders(const dt_config *config, dt_config_errors *errors) {
  if (strcmp(config->spec.output, config->spec.data.dir) == 0)
    dt_config_complain(errors, dt_config_origin(config, &config->spec.data.dir),
                       "data.dir: found \"%.60s\", which is output, expected another folder", config->spec.data.dir);
}

/* The batch is always given; the number of shards may be the default, and the complaint then points at the batch. */
static void check_shards(const dt_config *config, dt_config_errors *errors) {
  const int64_t *batch = &config->spec.train.global_batch, *shards = &config->spec.train.shards;
  dt_origin origin = dt_config_origin(config, shards);
  if (*shards <= *batch) return;
  if (strcmp(origin.source, "default") != 0)
    dt_config_complain(errors, origin, "train.shards: found %lld, expected at most train.global_batch, which is %lld",
                       (long long)*shards, (long long)*batch);
  else
    dt_config_complain(errors, dt_config_origin(config, batch),
                       "train.global_batch: found %lld, expected at least train.shards, whose default is %lld",
                       (long long)*batch, (long long)*shards);
}

static void check_input(const dt_config *config, dt_config_errors *errors) {
  const dt_ints *input = &config->spec.model.input;
  double elements = 1;
  for (int i = 0; i < input->count; i++) elements *= (double)input->value[i];
  dt_origin origin = dt_config_origin(config, input);
  if (input->count != 1 && input->count != 3)
    dt_config_complain(errors, origin, "model.input: found %d numbers, expected [channels, height, width] or [length]",
                       input->count);
  else if (elements > 0x1p31)
    dt_config_complain(errors, origin, "model.input: found %.0f numbers a sample, expected at most %.0f", elements, 0x1p31);
}

static void check_statistics(const dt_config *config, dt_config_errors *errors) {
  const dt_reals *mean = &config->spec.data.mean, *std = &config->spec.data.std;
  const dt_ints *input = &config->spec.model.input;
  int64_t channels = input->count > 0 ? input->value[0] : 0; /* each number of [length] is a channel of its own */
  if (mean->count != std->count)
    dt_config_complain(errors, dt_config_origin(config, mean->count > 0 ? (const void *)mean : std),
                       "data.mean and data.std: found %d and %d numbers, expected equally many", mean->count, std->count);
  else if (mean->count > 0 && mean->count != channels)
    dt_config_complain(errors, dt_config_origin(config, mean),
                       "data.mean: found %d numbers, expected one for each of %lld channels", mean->count, (long long)channels);
}

void dt_spec_check(const dt_config *config, dt_config_errors *errors) {
  check_name(config, errors);
  check_folders(config, errors);
  check_shards(config, errors);
  check_input(config, errors);
  check_statistics(config, errors);
}
