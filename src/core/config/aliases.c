#include "core/config/aliases.h"

#include <stdio.h>
#include <string.h>

#include "core/config/names.h"
#include "core/config/spec.h"
#include "core/text.h"

enum { PATH_BYTES = 512 };

#define LAYER "model.layers[]."
#define LOSS "model.loss[]."
#define DECAY "schedule.lr.decay."

/* A word may have several rows; the first whose map is the one at hand counts, else the first. */
const dt_alias dt_aliases[] = {
    {"lr", "schedule.lr"},
    {"learning_rate", "schedule.lr"},
    {"base_lr", "schedule.lr"},
    {"initial_lr", "schedule.lr"},
    {"max_lr", "schedule.lr.peak"},
    {"eta_min", "schedule.lr.final"},
    {"min_lr", "schedule.lr.final"},
    {"warmup_epochs", "schedule.lr.warmup"},
    {"warmup_steps", "schedule.lr.warmup"},
    {"lr_scheduler", "schedule.lr.decay"},
    {"scheduler", "schedule.lr.decay"},
    {"lr_schedule", "schedule.lr.decay"},
    {"CosineAnnealingLR", DECAY "cosine"},
    {"CosineDecay", DECAY "cosine"},
    {"StepLR", DECAY "step"},
    {"MultiStepLR", DECAY "multistep"},
    {"milestones", DECAY "multistep.at"},
    {"ExponentialLR", DECAY "exponential"},
    {"ExponentialDecay", DECAY "exponential"},
    {"PolynomialLR", DECAY "polynomial"},
    {"LinearLR", DECAY "linear"},
    {"OneCycleLR", DECAY "one_cycle"},
    {"ConstantLR", DECAY "constant"},
    {"step_size", DECAY "step.every"},
    {"gamma", DECAY "step.factor"},
    {"gamma", DECAY "multistep.factor"},
    {"gamma", DECAY "exponential.factor"},
    {"decay_rate", DECAY "exponential.factor"},
    {"epoch", "train.epochs"},
    {"nepochs", "train.epochs"},
    {"n_epochs", "train.epochs"},
    {"num_epochs", "train.epochs"},
    {"max_epochs", "train.epochs"},
    {"steps", "train.length"},
    {"max_steps", "train.length"},
    {"num_steps", "train.length"},
    {"iterations", "train.length"},
    {"max_iter", "train.length"},
    {"batch", "train.global_batch"},
    {"batch_size", "train.global_batch"},
    {"global_batch_size", "train.global_batch"},
    {"train_batch_size", "train.global_batch"},
    {"bs", "train.global_batch"},
    {"grad_clip", "train.clip_norm"},
    {"gradient_clip_val", "train.clip_norm"},
    {"max_grad_norm", "train.clip_norm"},
    {"clipnorm", "train.clip_norm"},
    {"clipvalue", "train.clip_value"},
    {"agc", "train.clip_units"},
    {"kernel_regularizer", "train.l2"},
    {"weight_regularizer", "train.l2"},
    {"kernel_constraint", "train.max_norm"},
    {"maxnorm", "train.max_norm"},
    {"l1_lambda", "train.l1"},
    {"l2_lambda", "train.l2"},
    {"param_groups", "train.groups"},
    {"random_seed", "seed"},
    {"manual_seed", "seed"},
    {"rng_seed", "seed"},
    {"random_state", "seed"},
    {"num_workers", "data.threads"},
    {"workers", "data.threads"},
    {"num_threads", "threads"},
    {"prefetch_factor", "data.prefetch"},
    {"drop_last", "data.last_batch"},
    {"data_dir", "data.dir"},
    {"root", "data.dir"},
    {"dataset", "data.train"},
    {"val", "data.eval"},
    {"valid", "data.eval"},
    {"validation", "data.eval"},
    {"test", "data.eval"},
    {"transform", "data.augment"},
    {"transforms", "data.augment"},
    {"augmentation", "data.augment"},
    {"MNIST", "data.train.idx"},
    {"FashionMNIST", "data.train.idx"},
    {"RandomHorizontalFlip", "data.augment[].flip"},
    {"RandomFlip", "data.augment[].flip"},
    {"hflip", "data.augment[].flip"},
    {"RandomCrop", "data.augment[].crop"},
    {"RandomAffine", "data.augment[].shift"},
    {"RandomVerticalFlip", "data.augment[].flip"},
    {"vflip", "data.augment[].flip"},
    {"RandomRotation", "data.augment[].rotate"},
    {"RandomResizedCrop", "data.augment[].resized_crop"},
    {"RandomErasing", "data.augment[].erase"},
    {"ColorJitter", "data.augment[].colour"},
    {"color", "data.augment[].colour"},
    {"RandAugment", "data.augment[].randaugment"},
    {"mixup", "data.mix[].mixup"},
    {"MixUp", "data.mix[].mixup"},
    {"cutmix", "data.mix[].cutmix"},
    {"CutMix", "data.mix[].cutmix"},
    {"label_smoothing", LOSS "cross_entropy.smoothing"},
    {"RandomTranslation", "data.augment[].shift"},
    {"padding", "data.augment[].crop.pad"},
    {"momentum", "optimizer.sgd.momentum"},
    {"nesterov", "optimizer.sgd.nesterov"},
    {"weight_decay", "optimizer.sgd.weight_decay"},
    {"wd", "optimizer.sgd.weight_decay"},
    {"l2", "optimizer.sgd.weight_decay"},
    {"beta1", "optimizer.adam.beta1"},
    {"beta2", "optimizer.adam.beta2"},
    {"epsilon", "optimizer.adam.eps"},
    {"optim", "optimizer"},
    {"ema", "average.ema"},
    {"EMA", "average.ema"},
    {"ModelEma", "average.ema"},
    {"swa", "average.swa"},
    {"SWA", "average.swa"},
    {"criterion", "model.loss"},
    {"loss_function", "model.loss"},
    {"CrossEntropyLoss", LOSS "cross_entropy"},
    {"crossentropy", LOSS "cross_entropy"},
    {"categorical_crossentropy", LOSS "cross_entropy"},
    {"sparse_categorical_crossentropy", LOSS "cross_entropy"},
    {"MSELoss", LOSS "mse"},
    {"mean_squared_error", LOSS "mse"},
    {"HuberLoss", LOSS "huber"},
    {"BCEWithLogitsLoss", LOSS "binary_cross_entropy"},
    {"bce", LOSS "binary_cross_entropy"},
    {"binary_crossentropy", LOSS "binary_cross_entropy"},
    {"confusion_matrix", "eval.metrics[].confusion"},
    {"mean_absolute_error", "eval.metrics[].mae"},
    {"acc", "eval.metrics[].accuracy"},
    {"EarlyStopping", "train.early_stopping"},
    {"min_delta", "train.early_stopping.min_gain"},
    {"save_best_only", "checkpoint.best"},
    {"network", "model"},
    {"net", "model"},
    {"arch", "model"},
    {"input_shape", "model.input"},
    {"input_size", "model.input"},
    {"in_channels", "model.input"},
    {"in_features", "model.input"},
    {"input_dim", "model.input"},
    {"dense", LAYER "linear"},
    {"fc", LAYER "linear"},
    {"fully_connected", LAYER "linear"},
    {"Conv2d", LAYER "conv"},
    {"convolution", LAYER "conv"},
    {"MaxPool2d", LAYER "maxpool"},
    {"MaxPooling2D", LAYER "maxpool"},
    {"AvgPool2d", LAYER "avgpool"},
    {"AveragePooling2D", LAYER "avgpool"},
    {"AdaptiveAvgPool2d", LAYER "global_avgpool"},
    {"GlobalAveragePooling2D", LAYER "global_avgpool"},
    {"gap", LAYER "global_avgpool"},
    {"BatchNorm2d", LAYER "batchnorm"},
    {"BatchNorm1d", LAYER "batchnorm"},
    {"BatchNormalization", LAYER "batchnorm"},
    {"bn", LAYER "batchnorm"},
    {"Dropout2d", LAYER "dropout"},
    {"GaussianNoise", LAYER "noise"},
    {"gaussian_noise", LAYER "noise"},
    {"Inception", LAYER "branches"},
    {"skip", LAYER "residual"},
    {"shortcut", LAYER "residual"},
    {"BasicBlock", LAYER "residual"},
    {"activation", LAYER "relu"},
    {"cat", LAYER "concat"},
    {"Concatenate", LAYER "concat"},
    {"sum", LAYER "add"},
    {"mul", LAYER "multiply"},
    {"product", LAYER "multiply"},
    {"inputs", LAYER "from"},
    {"bottom", LAYER "from"},
    {"trainable", LAYER "freeze"},
    {"requires_grad", LAYER "freeze"},
    {"tied", LAYER "share"},
    {"tie_weights", LAYER "share"},
    {"lr_mult", LAYER "lr_scale"},
    {"LeakyReLU", LAYER "leaky_relu"},
    {"negative_slope", LAYER "leaky_relu.slope"},
    {"alpha", LAYER "leaky_relu.slope"},
    {"GELU", LAYER "gelu"},
    {"LayerNorm", LAYER "layernorm"},
    {"layer_norm", LAYER "layernorm"},
    {"out_channels", LAYER "conv.filters"},
    {"channels", LAYER "conv.filters"},
    {"units", LAYER "conv.filters"},
    {"kernel_size", LAYER "conv.kernel"},
    {"kernel_size", LAYER "maxpool.window"},
    {"kernel_size", LAYER "avgpool.window"},
    {"kernel", LAYER "maxpool.window"},
    {"kernel", LAYER "avgpool.window"},
    {"size", LAYER "maxpool.window"},
    {"size", LAYER "avgpool.window"},
    {"pool_size", LAYER "maxpool.window"},
    {"pool_size", LAYER "avgpool.window"},
    {"strides", LAYER "conv.stride"},
    {"strides", LAYER "maxpool.stride"},
    {"strides", LAYER "avgpool.stride"},
    {"padding", LAYER "conv.pad"},
    {"padding", LAYER "maxpool.pad"},
    {"padding", LAYER "avgpool.pad"},
    {"dilation_rate", LAYER "conv.dilation"},
    {"use_bias", LAYER "conv.bias"},
    {"use_bias", LAYER "linear.bias"},
    {"out_features", LAYER "linear.units"},
    {"features", LAYER "linear.units"},
    {"filters", LAYER "linear.units"},
    {"rate", LAYER "dropout.p"},
    {"stddev", LAYER "noise.std"},
    {"sigma", LAYER "noise.std"},
    {"prob", LAYER "dropout.p"},
    {"dropout_rate", LAYER "dropout.p"},
    {"epsilon", LAYER "batchnorm.eps"},
    {"cuda", "device.gpu"},
    {"use_cuda", "device"},
    {"accelerator", "device"},
    {"amp", "precision"},
    {"dtype", "precision"},
    {"float32", "precision.fp32"},
    {"float", "precision.fp32"},
    {"float16", "precision.fp16"},
    {"half", "precision.fp16"},
    {"bfloat16", "precision.bf16"},
    {"log_interval", "log.every"},
    {"log_every_n_steps", "log.every"},
    {"save_every", "checkpoint.every"},
    {"val_check_interval", "eval.every"},
    {"eval_every", "eval.every"},
    {"output_dir", "output"},
    {"save_dir", "output"},
    {"experiment", "name"},
    {"backend", "comm.transport"},
    {NULL},
};

/* --- words --- */

static bool is_skipped(char c) {
  return c == '_' || c == '-';
}

static bool is_same_word(const char *a, const char *b) {
  if (strncmp(a, "nn.", 3) == 0) a += 3;
  for (;; a++, b++) {
    while (is_skipped(*a)) a++;
    while (is_skipped(*b)) b++;
    if (dt_text_lower(*a) != dt_text_lower(*b)) return false;
    if (*a == '\0') return true;
  }
}

/* --- paths: "a.b[].c" --- */

static const char *last_part(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot != NULL ? dot + 1 : path;
}

/* The part before the last one, without "[]"; "" when there is none. */
static const char *owner_part(const char *path, char *text, size_t bytes) {
  snprintf(text, bytes, "%.*s", (int)(last_part(path) > path ? last_part(path) - path - 1 : 0), path);
  size_t length = strlen(text);
  if (length >= 2 && strcmp(text + length - 2, "[]") == 0) text[length - 2] = '\0';
  return last_part(text);
}

static bool is_owned(const char *path, const char *at) {
  char text[PATH_BYTES];
  return strcmp(owner_part(path, text, sizeof text), last_part(at)) == 0;
}

static const dt_alias *next_alias(const dt_alias *row, const char *word) {
  while (row->word != NULL && !is_same_word(word, row->word)) row++;
  return row->word != NULL ? row : NULL;
}

/* The nearest place to the root where the option tables have that name; NULL where there are several, or none. */
typedef struct search {
  const char *word;
  char *path;
  size_t bytes;
  int depth, count;
} search;

static void search_option(void *context, const char *path, const dt_option *option, const dt_kind *of_kind) {
  search *s = context;
  int depth = 0;
  if (strcmp(last_part(path), s->word) != 0) return;
  for (const char *p = path; *p != '\0'; p++) depth += *p == '.';
  if (s->count > 0 && depth > s->depth) return;
  s->count = s->count > 0 && depth == s->depth ? s->count + 1 : 1;
  s->depth = depth;
  snprintf(s->path, s->bytes, "%s", path);
}

const char *dt_key_path(const char *word, char *text, size_t bytes) {
  const dt_alias *row = next_alias(dt_aliases, word);
  if (row != NULL) return row->path;
  search s = {.word = word, .path = text, .bytes = bytes};
  dt_options_visit(dt_spec_options, search_option, &s);
  return s.count == 1 ? text : NULL;
}

/* --- hints --- */

/* What stands in a list has no path of its own: "conv.pad" in model.layers. */
static const char *path_hint(const char *path, char *text, size_t bytes) {
  const char *item = strstr(path, "[].");
  if (item == NULL) return dt_did_you_mean(path, text, bytes);
  snprintf(text, bytes, " (did you mean \"%s\" in %.*s?)", item + 3, (int)(item - path), path);
  return text;
}

/* Within brackets "peak:0.1" and "peak 0.1" are one key. */
static bool is_key_and_value(const char *word, const dt_option *table) {
  size_t bytes = strcspn(word, ": ");
  return word[bytes] != '\0' && dt_option_find(table, word, bytes) != NULL;
}

const char *dt_key_hint(const char *word, const char *at, const dt_option *table, char *text, size_t bytes) {
  for (const dt_alias *row = dt_aliases; (row = next_alias(row, word)) != NULL; row++) {
    const char *name = last_part(row->path);
    if (dt_option_find(table, name, strlen(name)) != NULL && is_owned(row->path, at)) return dt_did_you_mean(name, text, bytes);
  }
  if (is_key_and_value(word, table)) {
    const char *value = word + strcspn(word, ": ");
    snprintf(text, bytes, " (did you mean \"%.*s: %.60s\", with a colon and a space?)", (int)(value - word), word,
             value + strspn(value, ": "));
    return text;
  }
  char path[PATH_BYTES];
  const char *elsewhere = dt_key_path(word, path, sizeof path);
  if (elsewhere != NULL && at[0] != '\0' && strchr(elsewhere, '.') == NULL) {
    snprintf(text, bytes, " (did you mean \"%s\" at the top of the config?)", elsewhere);
    return text;
  }
  if (elsewhere != NULL) return path_hint(elsewhere, text, bytes);
  return dt_did_you_mean(dt_name_nearest_option(word, table), text, bytes);
}

const char *dt_kind_hint(const char *word, const dt_kind *const *kinds, char *text, size_t bytes) {
  for (const dt_alias *row = dt_aliases; (row = next_alias(row, word)) != NULL; row++) {
    const char *name = last_part(row->path);
    if (dt_kind_find(kinds, name, strlen(name)) != NULL) return dt_did_you_mean(name, text, bytes);
  }
  return dt_did_you_mean(dt_name_nearest_kind(word, kinds), text, bytes);
}

const char *dt_choice_hint(const char *word, const char *at, const char *const *choices, char *text, size_t bytes) {
  for (const dt_alias *row = dt_aliases; (row = next_alias(row, word)) != NULL; row++) {
    if (!is_owned(row->path, at)) continue;
    for (int i = 0; choices[i] != NULL; i++)
      if (strcmp(choices[i], last_part(row->path)) == 0) return dt_did_you_mean(choices[i], text, bytes);
  }
  return dt_did_you_mean(dt_name_nearest_text(word, choices), text, bytes);
}
