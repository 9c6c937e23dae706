/* The table of every option, and the relations between options that single rows cannot say. */
#include "core/config/spec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/augment.h"
#include "core/config/group.h"
#include "core/config/internal.h"
#include "core/config/layer_item.h"
#include "core/config/rows.h"
#include "core/format.h"
#include "core/layers/layer.h"
#include "core/numbers.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"

#define AT(field) offsetof(dt_spec, field)
#define IN(group, field) (offsetof(dt_spec, group.field) - offsetof(dt_spec, group))

static const dt_kind *const *const layer_kinds = dt_layer_kinds;
static const dt_kind *const *const loss_kinds = dt_loss_kinds;
static const dt_kind *const *const metric_kinds = dt_metric_kinds;
static const dt_kind *const *const format_kinds = dt_format_kinds;
static const dt_kind *const *const augment_kinds = dt_augment_kinds;
static const dt_kind *const *const mix_kinds = dt_mix_kinds;
static const dt_kind *const *const optimizer_kinds = dt_optimizer_kinds;
static const dt_kind *const *const group_kinds = dt_group_kinds;
static const dt_kind *const *const average_kinds = dt_average_kinds;
static const dt_kind *const *const decay_kinds = dt_decay_kinds;
static const dt_kind *const *const solver_kinds = dt_solver_kinds;

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
static const char *const decayed_names[] = {[DT_DECAY_ALL] = "all", [DT_DECAY_WEIGHTS] = "weights", NULL};
static const char *const scaling_names[] = {
    [DT_SCALE_NONE] = "none", [DT_SCALE_LINEAR] = "linear", [DT_SCALE_SQRT] = "sqrt", NULL};
static const char *const counted_units[] = {"samples", "steps", "epochs", NULL};
static const char *const counted_or_never[] = {"never", "samples", "steps", "epochs", NULL};

static const char *const sampling_names[] = {
    [DT_SAMPLING_ONCE] = "once", [DT_SAMPLING_BALANCED] = "balanced", [DT_SAMPLING_WEIGHTED] = "weighted", NULL};
static const dt_option sampling_options[] = {
    DT_ROW_ENUM(
        "rule", IN(data.sampling, rule), "once", sampling_names,
        "once: an epoch has every sample once. balanced: as many are drawn, with replacement, each class as often as any "
        "other. weighted: each sample as often as its weight says."),
    DT_ROW_STRING("field", IN(data.sampling, field), "weight",
                  "Field of one number a sample, the weight: 0 is never drawn, 2 twice as often as 1.",
                  .max = DT_FIELD_NAME - 1),
    {0},
};

static const dt_option split_options[] = {
    DT_ROW_REAL("fraction", IN(data.split, fraction), NULL, 0, 1, "Part of the training samples that is taken off.",
                .open_min = true, .open_max = true),
    DT_ROW_UINT64(
        "seed", IN(data.split, seed), "1",
        "Which samples they are is a function of it and of the number of samples; the config's seed does not change it."),
    DT_ROW_BOOL("stratified", IN(data.split, stratified), "false",
                "Whether the part is taken of each class by itself, so that both parts have them in the same shares."),
    {0},
};

static const dt_option data_options[] = {
    DT_ROW_STRING(
        "dir", IN(data, dir), "",
        "Folder that the files below are in; may begin with a variable of the environment, as $DTRAIN_DATA/mnist. Nothing "
        "else is expanded.",
        .path = DT_PATH_VARIABLE, .keeps_results = true),
    DT_ROW_ONE("train", IN(data, train), NULL, &format_kinds, "The training set."),
    DT_ROW_ONE("eval", IN(data, eval), "", &format_kinds,
               "The evaluation set; without it, and without split, nothing is evaluated."),
    DT_ROW_MAP("split", IN(data, split), split_options,
               "Takes a part off the training set, which becomes the evaluation set: `split: 0.1`. In place of eval.",
               .default_text = "", .positional = "fraction", .has_given = true),
    DT_ROW_LIST("augment", IN(data, augment), "[]", &augment_kinds, "Random changes to training samples, in this order.",
                .max = 64),
    DT_ROW_LIST(
        "mix", IN(data, mix), "[]", &mix_kinds,
        "Mixes each training sample with another one of its batch, in one of these ways: a single one, `{mixup: 0.2}`, or "
        "several, of which each comes as often.",
        .max = 8),
    DT_ROW_REAL("label_noise", IN(data, label_noise), "0", 0, 1,
                "Part of the training samples whose label is changed into another class, the same ones in every epoch."),
    DT_ROW_STRINGS("classes", IN(data, classes), "", "Names of the classes, from label 0 on; predict prints them.",
                   .keeps_results = true),
    DT_ROW_REALS(
        "mean", IN(data, mean), "", -INFINITY, INFINITY,
        "Mean of each channel, subtracted from every sample; without it, measured on the training set. Of a network with one "
        "input; others have it at each input.",
        .unit = "pixel / 255"),
    DT_ROW_REALS("std", IN(data, std), "", 0, INFINITY,
                 "Standard deviation of each channel, which every sample is divided by; given together with mean.",
                 .unit = "pixel / 255", .open_min = true),
    DT_ROW_MAP("sampling", IN(data, sampling), sampling_options, "Which training samples an epoch has.", .positional = "rule"),
    DT_ROW_BOOL("shuffle", IN(data, shuffle), "true",
                "Whether every epoch deals the training samples in an order of its own; false: as they stand in the files."),
    DT_ROW_BOOL("device_cache", IN(data, device_cache), "true",
                "Whether a gpu keeps the data set in its memory where it fits; else samples are copied to it step by step.",
                .keeps_results = true),
    DT_ROW_ENUM("last_batch", IN(data, last_batch), "short", last_batch_names,
                "What becomes of the samples that do not fill the last batch of an epoch: a short batch, or dropped."),
    DT_ROW_INT("prefetch", IN(data, prefetch), "4", 1, 1024, "Batches prepared ahead.", .unit = "batches",
               .keeps_results = true),
    DT_ROW_INT("threads", IN(data, threads), "1", 1, 256, "Threads of a rank that prepare batches.", .keeps_results = true),
    {0},
};

static const dt_option input_options[] = {
    DT_ROW_INTS("shape", offsetof(dt_input, shape), NULL, 1, 1 << 20,
                "Shape of a sample: [length], [channels, height, width], or any of 1 to 6 dimensions, channels first."),
    DT_ROW_STRING("field", offsetof(dt_input, field), "",
                  "Field of the data that feeds the input; left out, the one of the input's name.", .max = DT_FIELD_NAME - 1),
    DT_ROW_REALS("mean", offsetof(dt_input, mean), "", -INFINITY, INFINITY, "As data.mean, of this input.",
                 .unit = "pixel / 255"),
    DT_ROW_REALS("std", offsetof(dt_input, std), "", 0, INFINITY, "As data.std, of this input.", .unit = "pixel / 255",
                 .open_min = true),
    {0},
};
static const dt_kind input_kind = {
    .name = "input",
    .doc = "An input of the network, under a name of its own.",
    .options = input_options,
    .attr_bytes = sizeof(dt_input),
    .positional = "shape",
};
static const dt_kind *const input_kind_table[] = {&input_kind, NULL};
static const dt_kind *const *const input_kinds = input_kind_table;

static const dt_option model_options[] = {
    {.name = "inputs",
     .type = DT_OPT_NAMED,
     .max = DT_FIELDS_MAX / 2,
     .kinds = &input_kinds,
     .offset = IN(model, inputs),
     .doc = "What the network reads of a sample: inputs by name, each with the shape that it has: `{left: [1, 28, 28], right: "
            "[1, 28, 28]}`. Where there are several, layers name them in `from`."},
    {.name = "input",
     .type = DT_OPT_INTS,
     .min = 1,
     .max = 1 << 20,
     .short_for = "inputs",
     .doc =
         "Shape of the only input, which is named `input`: [length], [channels, height, width], or any of 1 to 6 dimensions, "
         "channels first."},
    DT_ROW_LIST("layers", IN(model, layers), NULL, &layer_kinds,
                "The network, from the input on; what its last layer gives goes to the loss.", .max = DT_CONFIG_LIST_MAX,
                .beside = dt_layer_item_options, .beside_bytes = sizeof(dt_layer_item)),
    DT_ROW_LIST(
        "loss", IN(model, loss), "cross_entropy", &loss_kinds,
        "What training makes small: one loss, or a list of several, each times its weight. The first one's layer gives the "
        "predictions.",
        .max = 8),
    {0},
};

static const dt_option early_stopping_options[] = {
    DT_ROW_STRING("metric", IN(train.early_stopping, metric), "",
                  "Which measure: loss, or a metric's name; without it the first metric, or else the loss.", .max = 47),
    DT_ROW_INT("patience", IN(train.early_stopping, patience), NULL, 1, 1 << 20,
               "Training ends after so many evaluations in a row without a gain.", .unit = "evaluations"),
    DT_ROW_REAL("min_gain", IN(train.early_stopping, min_gain), "0", 0, INFINITY,
                "An evaluation is a gain where it is better than the best before it by more than this."),
    DT_ROW_BOOL(
        "restore", IN(train.early_stopping, restore), "false",
        "Keeps the checkpoint of the best evaluation, as checkpoint.best does, and leaves that behind: eval and predict take "
        "it where no other is named, whether the run was stopped early or ran out."),
    {0},
};

static const dt_option train_options[] = {
    DT_ROW_INT("global_batch", IN(train, global_batch), NULL, 1, 1 << 24,
               "Samples of one step, over all ranks: the only batch size there is.", .unit = "samples"),
    DT_ROW_INT(
        "shards", IN(train, shards), "8", 1, 1 << 16,
        "Pieces that every batch is cut into and that ranks share out; at most global_batch. The result depends on it, and "
        "not on the number of ranks."),
    DT_ROW_INT("micro_batch_shards", IN(train, micro_batch_shards), "auto", 1, 1 << 16,
               "Shards that a rank runs at once; auto: all it has. Fewer take less memory.", .choices = auto_word,
               .keeps_results = true),
    DT_ROW_DURATION("length", IN(train, length), NULL, counted_units, "How long to train.", .min = 0, .max = INFINITY,
                    .open_min = true),
    {.name = "epochs",
     .type = DT_OPT_DURATION,
     .unit = "epochs",
     .default_text = "",
     .short_for = "length",
     .doc = "Short for length: epochs: 10 is length: 10 epochs."},
    DT_ROW_REAL("clip_norm", IN(train, clip_norm), "off", 0, INFINITY,
                "The gradient is scaled down to this global norm where it is longer.", .open_min = true, .choices = off_word),
    DT_ROW_REAL("clip_value", IN(train, clip_value), "off", 0, INFINITY,
                "Each element of the gradient is brought to at most this, and at least to its negative, behind clip_norm.",
                .open_min = true, .choices = off_word),
    DT_ROW_REAL("clip_units", IN(train, clip_units), "off", 0, INFINITY,
                "Adaptive clipping (AGC): the gradient of each row of a weight, or of another parameter as a whole, is "
                "scaled down to this times the row's own norm, or times 1e-3 where that is larger; 0.01 is usual. Behind "
                "clip_norm (Brock et al., 2021).",
                .open_min = true, .choices = off_word),
    DT_ROW_REAL(
        "l1", IN(train, l1), "off", 0, INFINITY,
        "Adds this times the sum of the parameters' absolute values to what training makes small. Its gradient is clipped, "
        "averaged and divided by the optimizer as the loss's is.",
        .open_min = true, .choices = off_word),
    DT_ROW_REAL("l2", IN(train, l2), "off", 0, INFINITY,
                "Likewise half of this times the sum of the parameters' squares; an optimizer's weight_decay goes another way "
                "(docs/optimizers.md).",
                .open_min = true, .choices = off_word),
    DT_ROW_REAL("max_norm", IN(train, max_norm), "off", 0, INFINITY,
                "Behind each update, each row of a weight - what comes into one output, a filter - whose "
                "2-norm is longer than this is scaled back to it; 2 to 4 is usual beside dropout (Srivastava et al., 2014).",
                .open_min = true, .choices = off_word),
    DT_ROW_LIST("groups", IN(train, groups), "[]", &group_kinds,
                "Parameters by their names, and what holds for them beside what their layers say: `[{match: \"*.bias\", decay: "
                "false}]`. A parameter may be in several: factors multiply, and one that says no is enough.",
                .max = DT_GROUPS_MAX, .beside = dt_group_options, .beside_bytes = sizeof(dt_group)),
    DT_ROW_MAP("early_stopping", IN(train, early_stopping), early_stopping_options,
               "Ends training when evaluations of data.eval gain no more.", .default_text = "", .positional = "patience",
               .has_given = true, .keeps_results = true),
    DT_ROW_ENUM(
        "decayed", IN(train, decayed), "all", decayed_names,
        "Which parameters the optimizer's weight decay, l1 and l2 take: all, or weights alone, and neither biases nor what "
        "normalisations multiply by and add."),
    {0},
};

/* The rows of a schedule. Of hyper-parameters but lr the bounds are the optimizer's to say (check_schedule). */
#define SCHEDULE_ROWS(value_min, value_max)                                                                                 \
  DT_ROW_REAL("peak", offsetof(dt_schedule_spec, peak), NULL, value_min, value_max,                                         \
              "The value after warm-up, from which it decays."),                                                            \
      DT_ROW_DURATION("warmup", offsetof(dt_schedule_spec, warmup), "0 samples", counted_units,                             \
                      "Length of the warm-up, in which the value rises in a straight line to peak; at most train.length."), \
      DT_ROW_REAL("warmup_from", offsetof(dt_schedule_spec, warmup_from), "0.1", 0, 1,                                      \
                  "Where the warm-up begins, as a fraction of peak."),                                                      \
      DT_ROW_ONE(                                                                                                           \
          "decay", offsetof(dt_schedule_spec, decay), "constant", &decay_kinds,                                             \
          "How the value goes on from peak: t is the time since the warm-up, span the time from there to the end, both "    \
          "in steps where train.length is in steps, else in samples; t / every counts in the unit of every."),              \
      DT_ROW_REAL("final", offsetof(dt_schedule_spec, final), "0", value_min, value_max,                                    \
                  "The value at the end, for the decays whose formula has it."),                                            \
  {                                                                                                                         \
    0                                                                                                                       \
  }

static const dt_option lr_options[] = {SCHEDULE_ROWS(0, 1e6)};
static const dt_option hyper_options[] = {SCHEDULE_ROWS(-INFINITY, INFINITY)};

static const dt_option scaling_options[] = {
    DT_ROW_ENUM(
        "rule", IN(schedule.scaling, rule), "none", scaling_names,
        "Multiplies the learning rate's peak and final by B / base_batch (linear) or by its square root (sqrt), B being "
        "train.global_batch."),
    DT_ROW_INT("base_batch", IN(schedule.scaling, base_batch), "256", 1, 1 << 24,
               "The batch that the configured learning rate is meant for.", .unit = "samples"),
    {0},
};

static const dt_option schedule_options[] = {
    DT_ROW_MAP("lr", IN(schedule, lr), lr_options, "The learning rate; a bare number stays constant.", .positional = "peak"),
    DT_ROW_OTHERS("*", IN(schedule, other), hyper_options, sizeof(dt_schedule_spec),
                  "Another hyper-parameter of the optimizer over time, by its name and within its bounds: those whose meaning "
                  "says *Scheduled.* Without it, it is as in optimizer. A bare number stays constant.",
                  .positional = "peak"),
    DT_ROW_MAP("scaling", IN(schedule, scaling), scaling_options, "How the learning rate follows the batch.",
               .positional = "rule"),
    {0},
};

static const dt_option checkpoint_options[] = {
    DT_ROW_DURATION("every", IN(checkpoint, every), "5 min", NULL,
                    "Between checkpoints; one is written before the first step and one at the end in any case.", .min = 0,
                    .max = INFINITY, .open_min = true),
    DT_ROW_INT("keep", IN(checkpoint, keep), "3", 2, 1 << 20, "Checkpoints kept."),
    DT_ROW_STRING(
        "best", IN(checkpoint, best), "",
        "The measure, loss or a metric's name, whose best evaluation has its checkpoint kept besides; the link `best` in the "
        "run's folder leads to it. Without it, no evaluation is saved for being the best.",
        .max = 47),
    {0},
};

static const dt_option eval_options[] = {
    DT_ROW_DURATION("every", IN(eval, every), "1 epoch", counted_or_never,
                    "Between evaluations; one is made at the end in any case.", .min = 0, .max = INFINITY, .open_min = true),
    DT_ROW_LIST("metrics", IN(eval, metrics), "", &metric_kinds,
                "What is measured besides the loss; without it, what goes with the first loss: accuracy for cross_entropy and "
                "binary_cross_entropy, nothing for mse and huber.",
                .max = 16),
    {0},
};

static const dt_option comm_options[] = {
    DT_ROW_ENUM(
        "reduce", IN(comm, reduce), "ordered", reduce_names,
        "ordered: gradients are summed in one fixed tree, the same bits for any number of ranks. fast: as the library likes."),
    DT_ROW_ENUM(
        "transport", IN(comm, transport), "auto", transport_names,
        "How ranks exchange gradients. On CPUs: through memory that they share, or by messages; auto: shared where all can. "
        "On GPUs: nccl, or staged through host memory, which lets several ranks share one GPU; auto: nccl where there are "
        "several "
        "ranks.",
        .keeps_results = true),
    DT_ROW_INT(
        "bucket_bytes", IN(comm, bucket_bytes), "auto", 4096, 1 << 30,
        "Gradients are exchanged in pieces of about this size while backward goes on; auto: 1048576 on CPUs, 16777216 on "
        "GPUs.",
        .unit = "bytes", .choices = auto_word, .keeps_results = true),
    {0},
};

static const dt_option log_options[] = {
    DT_ROW_DURATION("every", IN(log, every), "10 steps", counted_or_never, "Between lines of metrics.", .min = 0,
                    .max = INFINITY, .open_min = true),
    DT_ROW_DURATION(
        "terminal", IN(log, terminal), "2 s", NULL,
        "The least between two lines of text about training, on the terminal and in the log file; each comes with a line of "
        "metrics.",
        .min = 0, .max = INFINITY, .open_min = true),
    {0},
};

static const dt_option verify_options[] = {
    DT_ROW_DURATION("every", IN(verify, every), "1 epoch", counted_or_never, "Between comparisons of the ranks' replicas.",
                    .min = 0, .max = INFINITY, .open_min = true),
    DT_ROW_BOOL("engines", IN(verify, engines), "true",
                "Whether the engines that a GPU's libraries offer are tried out before the first step: each on random values, "
                "twice, and several shards at once against one by one. Without, shards are computed one by one, which is slow.",
                .keeps_results = true),
    {0},
};

static const dt_option target_options[] = {
    DT_ROW_STRING("metric", IN(target, metric), "", "Which measure: loss, or a metric's name.", .max = 47),
    DT_ROW_REAL("value", IN(target, value), "off", -INFINITY, INFINITY,
                "Training ends when an evaluation is as good as this; off: it does not.", .choices = off_word),
    {0},
};

const dt_option dt_spec_options[] = {
    DT_ROW_STRING("name", AT(name), NULL, "Names the run; no slash. Its files go to output/name.", .max = 200,
                  .keeps_results = true),
    DT_ROW_STRING("output", AT(output), "runs", "Folder of all runs.", .path = DT_PATH_PLAIN, .keeps_results = true),
    DT_ROW_UINT64("seed", AT(seed), "1", "Every random number is a function of it."),
    DT_ROW_ENUM("device", AT(device), "auto", device_names, "What computes; reference is slow, plain and in double precision.",
                .keeps_results = true),
    DT_ROW_INT(
        "threads", AT(threads), "auto", 1, 1024,
        "CPU threads of a rank; auto: the cores that the rank may use, its part of those that others of the host may use "
        "too.",
        .choices = auto_word, .keeps_results = true),
    DT_ROW_ENUM("math", AT(math), "own", math_names,
                "Whose kernels multiply large matrices; blas may give other bits on another machine."),
    DT_ROW_ENUM(
        "precision", AT(precision), "fp32", precision_names,
        "What a gpu multiplies in: fp32; tf32, fp32 with 10 bits of fraction in products; bf16 or fp16 activations and "
        "products, fp16 with a dynamic loss scale. Parameters and sums are fp32 always. Elsewhere fp32, or double on the "
        "reference device."),
    DT_ROW_STRING(
        "plans", AT(plans), "auto",
        "Which engines of cuDNN and cuBLASLt compute on a gpu: those that dtrain bench plans has timed and written into this "
        "file; auto: into the tables that come with dtrain, where one is for this GPU and these libraries; off: those that "
        "the "
        "libraries' heuristics name, which is also what computes what a table does not have.",
        .max = 4000, .path = DT_PATH_PLAIN),
    DT_ROW_MAP("data", AT(data), data_options, "The samples."),
    DT_ROW_MAP("model", AT(model), model_options, "The network."),
    DT_ROW_MAP("train", AT(train), train_options, "The training."),
    DT_ROW_ONE("solver", AT(solver), "minibatch", &solver_kinds,
               "Over what a gradient is taken before the optimizer changes parameters."),
    DT_ROW_ONE("optimizer", AT(optimizer), "sgd", &optimizer_kinds, "How gradients change parameters."),
    DT_ROW_ONE("average", AT(average), "", &average_kinds,
               "An average of the weights over the training, which is what evaluations, checkpoints' model.safetensors and "
               "predictions then have; without it, the weights as they are."),
    DT_ROW_MAP("schedule", AT(schedule), schedule_options,
               "Hyper-parameters over time: a step takes the value at its beginning, which metrics.jsonl shows."),
    DT_ROW_MAP("checkpoint", AT(checkpoint), checkpoint_options, "What is kept to go on from.", .keeps_results = true),
    DT_ROW_MAP("eval", AT(eval), eval_options, "Evaluation.", .keeps_results = true),
    DT_ROW_MAP("comm", AT(comm), comm_options, "Communication between ranks."),
    DT_ROW_MAP("log", AT(log), log_options, "Metrics.", .keeps_results = true),
    DT_ROW_MAP("verify", AT(verify), verify_options,
               "Proof that all ranks hold the same parameters, and that engines do what they promise.", .keeps_results = true),
    DT_ROW_MAP("target", AT(target), target_options,
               "When to stop early: `accuracy: 0.99`, or any other measure and its value.", .pair = {"metric", "value"},
               .keeps_results = true),
    {0},
};

static void check_name(const dt_config *config, dt_config_errors *errors) {
  const char *name = config->spec.name;
  if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    dt_config_complain(errors, dt_config_origin(config, &config->spec.name),
                       "name: found \"%.60s\", expected the name of a folder, without a slash", name);
}

/* Where an error of two values is shown: at the second where an override has brought it about, else at the first. */
static dt_origin blame(const dt_config *config, const void *first, const void *second) {
  dt_origin a = dt_config_origin(config, first), b = dt_config_origin(config, second);
  bool b_overrides = b.line == 0 && b.column > 0;
  return a.column == 0 || (a.line > 0 && b_overrides) ? b : a;
}

static void check_folders(const dt_config *config, dt_config_errors *errors) {
  if (strcmp(config->spec.output, config->spec.data.dir) == 0)
    dt_config_complain(errors, blame(config, &config->spec.data.dir, &config->spec.output),
                       "data.dir: found \"%.60s\", which is output, expected another folder", config->spec.data.dir);
}

/* The batch is always given; the number of shards may be the default. */
static void check_shards(const dt_config *config, dt_config_errors *errors) {
  const int64_t *batch = &config->spec.train.global_batch, *shards = &config->spec.train.shards;
  bool is_default = dt_config_origin(config, shards).column == 0;
  if (*shards <= *batch) return;
  dt_origin origin = blame(config, shards, batch), of_batch = dt_config_origin(config, batch);
  if (origin.line == of_batch.line && origin.column == of_batch.column && origin.source == of_batch.source)
    dt_config_complain(errors, origin, "train.global_batch: found %lld, expected at least train.shards, %s %lld",
                       (long long)*batch, is_default ? "whose default is" : "which is", (long long)*shards);
  else
    dt_config_complain(errors, origin, "train.shards: found %lld, expected at most train.global_batch, which is %lld",
                       (long long)*shards, (long long)*batch);
}

static void check_inputs(const dt_config *config, dt_config_errors *errors) {
  const dt_spec *spec = &config->spec;
  for (int i = 0; i < spec->model.inputs.count; i++) {
    const dt_ints *shape = &dt_spec_input(spec, i)->shape;
    double elements = 1;
    for (int k = 0; k < shape->count; k++) elements *= (double)shape->value[k];
    dt_origin origin = dt_config_origin(config, shape);
    if (shape->count < 1 || shape->count > DT_DIMS)
      dt_config_complain(
          errors, origin,
          "model.inputs.%s: found %d number%s, expected 1 to %d: [length], [channels, height, width] or the like",
          spec->model.inputs.name[i], shape->count, dt_plural(shape->count), (int)DT_DIMS);
    else if (elements > 0x1p31)
      dt_config_complain(errors, origin, "model.inputs.%s: found %.0f numbers a sample, expected at most %.0f",
                         spec->model.inputs.name[i], elements, 0x1p31);
  }
}

/* `where` names the map that holds both. Each number of [length] is a channel of its own. */
static void check_statistics_of(const dt_config *config, const char *where, const dt_reals *mean, const dt_reals *std,
                                const dt_ints *shape, dt_config_errors *errors) {
  int64_t channels = shape->count > 0 ? shape->value[0] : 0;
  if (mean->count != std->count)
    dt_config_complain(errors, dt_config_origin(config, mean->count > 0 ? (const void *)mean : std),
                       "%s.mean and %s.std: found %d and %d numbers, expected equally many", where, where, mean->count,
                       std->count);
  else if (mean->count > 0 && mean->count != channels)
    dt_config_complain(errors, blame(config, mean, shape), "%s.mean: found %d number%s, expected %lld, one for each channel",
                       where, mean->count, dt_plural(mean->count), (long long)channels);
}

static void check_statistics(const dt_config *config, dt_config_errors *errors) {
  const dt_spec *spec = &config->spec;
  const dt_named *inputs = &spec->model.inputs;
  for (int i = 0; i < inputs->count; i++) {
    const dt_input *input = dt_spec_input(spec, i);
    char where[DT_NAMED_BYTES + 16];
    snprintf(where, sizeof where, "model.inputs.%s", inputs->name[i]);
    check_statistics_of(config, where, &input->mean, &input->std, &input->shape, errors);
  }
  if (spec->data.mean.count + spec->data.std.count == 0 || inputs->count == 0) return;
  if (inputs->count > 1)
    dt_config_complain(errors, dt_config_origin(config, spec->data.mean.count > 0 ? &spec->data.mean : &spec->data.std),
                       "data.mean: found numbers for a network of %d inputs, expected them at each: model.inputs.%s.mean",
                       inputs->count, inputs->name[0]);
  else
    check_statistics_of(config, "data", &spec->data.mean, &spec->data.std, &dt_spec_input(spec, 0)->shape, errors);
}

static void check_classes(const dt_config *config, dt_config_errors *errors) {
  const dt_strings *classes = &config->spec.data.classes;
  for (int i = 1; i < classes->count; i++) {
    for (int j = 0; j < i; j++) {
      if (strcmp(classes->value[i], classes->value[j]) == 0)
        dt_config_complain(errors, dt_config_origin(config, classes),
                           "data.classes: found \"%.60s\" for label %d and for label %d, expected a name for each",
                           classes->value[i], j, i);
    }
  }
}

/* Of bytes the mean is known to lie between 0 and 1. */
static void check_mean_unit_of(const dt_config *config, const char *where, int i, const dt_reals *mean,
                               dt_config_errors *errors) {
  dt_fields all;
  const dt_field *field = dt_format_declared(&config->spec.data.train, dt_spec_input_field(&config->spec, i), &all);
  if (field == NULL || field->dtype != DT_U8 || field->limit == DT_DTYPE_GUESSED) return;
  for (int c = 0; c < mean->count; c++) {
    if (mean->value[c] <= 1) continue;
    dt_config_complain(errors, dt_config_origin(config, mean),
                       "%s.mean: found %g, expected at most 1: the unit is pixel / 255, in which a mean of %g is %.4g", where,
                       mean->value[c], mean->value[c], mean->value[c] / 255);
    return;
  }
}

static void check_mean_unit(const dt_config *config, dt_config_errors *errors) {
  const dt_spec *spec = &config->spec;
  for (int i = 0; i < spec->model.inputs.count; i++) {
    char where[DT_NAMED_BYTES + 16];
    snprintf(where, sizeof where, "model.inputs.%s", spec->model.inputs.name[i]);
    check_mean_unit_of(config, where, i, &dt_spec_input(spec, i)->mean, errors);
  }
  if (spec->model.inputs.count == 1) check_mean_unit_of(config, "data", 0, &spec->data.mean, errors);
}

/* Whether every augmentation can be made of an input of that shape. */
static void check_augmentable(const dt_config *config, const dt_ints *input, dt_config_errors *errors) {
  const dt_choices *augment = &config->spec.data.augment;
  const dt_shape shape = {3, {input->value[0], input->value[1], input->value[2]}};
  for (int i = 0; i < augment->count; i++) {
    const dt_augment *functions = augment->item[i].kind->impl;
    char why[DT_AUGMENT_WHY] = "";
    if (functions->refuse != NULL) functions->refuse(augment->item[i].attr, &shape, why);
    if (why[0] != '\0')
      dt_config_complain(errors, augment->item[i].origin, "data.augment.%d.%s: %s", i, augment->item[i].kind->name, why);
  }
}

static void check_sampling(const dt_config *config, dt_config_errors *errors) {
  const dt_spec *spec = &config->spec;
  const bool drawn = spec->data.sampling.rule != DT_SAMPLING_ONCE;
  if (drawn && !spec->data.shuffle)
    dt_config_complain(errors, blame(config, &spec->data.sampling.rule, &spec->data.shuffle),
                       "data.shuffle: found false beside data.sampling: %s, which draws samples at random; expected true",
                       sampling_names[spec->data.sampling.rule]);
  /* A resolved config names the default too. */
  if (spec->data.sampling.rule != DT_SAMPLING_WEIGHTED && strcmp(spec->data.sampling.field, "weight") != 0)
    dt_config_complain(errors, dt_config_origin(config, &spec->data.sampling.field),
                       "data.sampling.field: found %.60s without data.sampling.rule: weighted, which alone reads it",
                       spec->data.sampling.field);
}

static void check_split(const dt_config *config, dt_config_errors *errors) {
  const dt_spec *spec = &config->spec;
  if (spec->data.split.given && spec->data.eval.kind != NULL)
    dt_config_complain(errors, blame(config, &spec->data.split.fraction, &spec->data.eval),
                       "data.split: found beside data.eval, expected one of them: split makes the evaluation set of a part of "
                       "data.train");
}

/* Augmentations are made of images of bytes, of all inputs of a sample that are ones. */
static void check_augment(const dt_config *config, dt_config_errors *errors) {
  const dt_spec *spec = &config->spec;
  int images = 0;
  if (spec->data.augment.count == 0 || spec->data.train.kind == NULL || spec->model.inputs.count == 0) return;
  for (int i = 0; i < spec->model.inputs.count; i++) {
    dt_fields all;
    const dt_field *field = dt_format_declared(&spec->data.train, dt_spec_input_field(spec, i), &all);
    const dt_ints *shape = &dt_spec_input(spec, i)->shape;
    const bool certain = field != NULL && field->limit != DT_DTYPE_GUESSED;
    if (shape->count != 3 || (certain && field->dtype != DT_U8)) continue;
    check_augmentable(config, shape, errors);
    images++;
  }
  if (images == 0)
    dt_config_complain(errors, dt_config_origin(config, &spec->data.augment),
                       "data.augment: found %s for samples that are no images of bytes, expected a model.input of [channels, "
                       "height, width]",
                       spec->data.augment.item[0].kind->name);
}

/* Where both are in one unit; the others are compared when the size of an epoch is known. */
static void check_warmup(const dt_config *config, const char *name, const dt_schedule_spec *schedule,
                         dt_config_errors *errors) {
  const dt_duration *length = &config->spec.train.length;
  char found[DT_DURATION_TEXT], most[DT_DURATION_TEXT];
  if (schedule->warmup.unit != length->unit || schedule->warmup.amount <= length->amount) return;
  dt_config_complain(errors, dt_config_origin(config, &schedule->warmup),
                     "schedule.%s.warmup: found %s, expected at most train.length, which is %s", name,
                     dt_duration_text(schedule->warmup, found), dt_duration_text(*length, most));
}

/* A value of a schedule is bounded as the optimizer bounds the hyper-parameter. */
static void check_bounds(const dt_config *config, const dt_option *hyper, const char *field, const double *value,
                         dt_config_errors *errors) {
  char expected[256], number[32];
  if (dt_value_within(hyper, *value)) return;
  dt_config_complain(errors, dt_config_origin(config, value), "schedule.%s.%s: found %s, expected %s", hyper->name, field,
                     dt_real_text(*value, number), dt_value_expected(hyper, expected, sizeof expected));
}

static void check_schedule(const dt_config *config, const dt_other *item, dt_config_errors *errors) {
  const dt_option *hyper = dt_hyper_find(config->spec.optimizer.kind, item->name);
  const dt_schedule_spec *schedule = item->value;
  check_bounds(config, hyper, "peak", &schedule->peak, errors);
  check_bounds(config, hyper, "final", &schedule->final, errors);
  check_warmup(config, item->name, schedule, errors);
}

/* Both say what evaluations take for the weights. */
static void check_average(const dt_config *config, dt_config_errors *errors) {
  const dt_choice *optimizer = &config->spec.optimizer, *average = &config->spec.average;
  if (average->kind == NULL || optimizer->kind == NULL || ((const dt_optimizer *)optimizer->kind->impl)->evaluated == 0) return;
  dt_config_complain(errors, average->origin,
                     "average: found %s with the optimizer %s, which has weights of its own for evaluations, expected none",
                     average->kind->name, optimizer->kind->name);
}

/* An average of weights that were too long may be too long, and so may weights that are not those that are updated. */
static void check_max_norm(const dt_config *config, dt_config_errors *errors) {
  const dt_choice *average = &config->spec.average, *optimizer = &config->spec.optimizer;
  const bool other = optimizer->kind != NULL && ((const dt_optimizer *)optimizer->kind->impl)->evaluated != 0;
  if (config->spec.train.max_norm == 0 || (average->kind == NULL && !other)) return;
  dt_config_complain(errors, blame(config, &config->spec.train.max_norm, other ? optimizer : average),
                     "train.max_norm: found %g with %s %s, whose weights for evaluations it would not hold for, expected off",
                     config->spec.train.max_norm,
                     other ? "the optimizer" : "average:", other ? optimizer->kind->name : average->kind->name);
}

/* Norms of whole gradients and elements that are cut off do not go together. */
static void check_clip(const dt_config *config, dt_config_errors *errors) {
  const dt_kind *kind = config->spec.optimizer.kind;
  const dt_optimizer *optimizer = kind != NULL ? kind->impl : NULL;
  if (config->spec.train.clip_value == 0 || optimizer == NULL || optimizer->emit == NULL || optimizer->direct_f32 != NULL)
    return;
  dt_config_complain(
      errors, blame(config, &config->spec.train.clip_value, &config->spec.optimizer),
      "train.clip_value: found %g with the optimizer %s, which goes by the norms of whole gradients, expected off, "
      "or train.clip_norm",
      config->spec.train.clip_value, kind->name);
}

static void check_schedules(const dt_config *config, dt_config_errors *errors) {
  const dt_others *other = &config->spec.schedule.other;
  check_warmup(config, "lr", &config->spec.schedule.lr, errors);
  for (int i = 0; i < other->count; i++) check_schedule(config, &other->item[i], errors);
}

/* The names that schedule takes, in turn. */
static const char *schedule_name(const void *context, int index) {
  const dt_kind *optimizer = context;
  int count = dt_hyper_count(optimizer);
  return index < count ? dt_hyper_get(optimizer, index)->name : index == count ? "scaling" : NULL;
}

void dt_spec_check_names(const dt_config *config, dt_config_errors *errors) {
  const dt_others *other = &config->spec.schedule.other;
  const dt_kind *optimizer = config->spec.optimizer.kind;
  for (int i = 0; i < other->count && optimizer != NULL; i++) {
    const char *name = other->item[i].name;
    char all[256], hint[256];
    if (dt_hyper_find(optimizer, name) != NULL) continue;
    dt_did_you_mean(dt_name_nearest(name, schedule_name, optimizer), hint, sizeof hint);
    if (hint[0] == '\0') dt_key_hint(name, "schedule", schedule_options, hint, sizeof hint);
    dt_config_complain(errors, other->item[i].origin,
                       "schedule.%.60s: found no hyper-parameter of %s, expected %s or scaling%s", name, optimizer->name,
                       dt_hyper_names(optimizer, all, sizeof all), hint);
  }
}

void dt_spec_check(const dt_config *config, dt_config_errors *errors) {
  check_name(config, errors);
  check_folders(config, errors);
  check_shards(config, errors);
  check_inputs(config, errors);
  check_statistics(config, errors);
  check_classes(config, errors);
  check_split(config, errors);
  check_sampling(config, errors);
  check_mean_unit(config, errors);
  check_augment(config, errors);
  check_schedules(config, errors);
  check_average(config, errors);
  check_max_norm(config, errors);
  check_clip(config, errors);
}
