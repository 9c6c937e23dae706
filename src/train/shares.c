#include "train/shares.h"

#include <stdio.h>

#include "data/data.h"

/* Losses below these are not worth a line. */
static const double efficiency_good = 0.95, fill_good = 0.75;
enum { LISTED_RANKS = 4, SHARES_TEXT = 96, SHARDS_MAX = 4096 };

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

double dt_share_efficiency(int64_t shards, int ranks) {
  return (double)shards / (double)(divide_up(shards, ranks) * ranks);
}

/* What the busiest rank computes in a step, in groups of samples: those of a shard fill whole groups. */
static int64_t step_groups(const dt_spec *spec, const dt_device *device, int64_t shards, int ranks) {
  int64_t group = device->ops->sample_group > 0 ? device->ops->sample_group : 1;
  return divide_up(shards, ranks) * divide_up(divide_up(spec->train.global_batch, shards), group);
}

/* "3 + 3 + 2", or how many ranks have how many. */
static const char *shares_text(int64_t shards, int ranks, char *text) {
  int64_t least = shards / ranks, more = shards % ranks;
  int used = 0;
  if (ranks > LISTED_RANKS) {
    snprintf(text, SHARES_TEXT, "%lld with %lld and %lld with %lld", (long long)more, (long long)least + 1,
             (long long)(ranks - more), (long long)least);
    return text;
  }
  for (int r = 0; r < ranks; r++) {
    used += snprintf(text + used, (size_t)(SHARES_TEXT - used), "%s%lld", r > 0 ? " + " : "", (long long)(least + (r < more)));
  }
  return text;
}

/* The multiples of the ranks next to the shards that lessen the busiest rank's work, as " 6 or 9"; "" where none does. */
static const char *better_text(const dt_spec *spec, const dt_device *device, int ranks, char *text) {
  int64_t shards = spec->train.shards, now = step_groups(spec, device, shards, ranks);
  int used = 0;
  text[0] = '\0';
  for (int64_t s = shards / ranks * ranks; s <= shards + ranks; s += ranks) {
    if (s < 1 || s > spec->train.global_batch || step_groups(spec, device, s, ranks) >= now) continue;
    used += snprintf(text + used, (size_t)(SHARES_TEXT - used), "%s%lld", used > 0 ? " or " : "", (long long)s);
  }
  return text;
}

static void warn_ranks(const dt_spec *spec, const dt_device *device, int ranks, const dt_warnings *to) {
  char how[SHARES_TEXT], better[SHARES_TEXT];
  int64_t shards = spec->train.shards;
  if (shards < ranks) {
    dt_warning(to,
               "%lld of %d ranks stand idle: train.shards is %lld, and a rank computes whole shards; more of them use more "
               "ranks, with other bits",
               (long long)(ranks - shards), ranks, (long long)shards);
    return;
  }
  double efficiency = dt_share_efficiency(shards, ranks);
  if (efficiency >= efficiency_good) return;
  shares_text(shards, ranks, how);
  better_text(spec, device, ranks, better);
  dt_warning(to, "%d ranks share %lld shards, %s: at most %.0f %% of the speed of %d%s%s%s", ranks, (long long)shards, how,
             100 * efficiency, ranks, better[0] != '\0' ? "; train.shards: " : "", better,
             better[0] != '\0' ? " would be better, with other bits" : "");
}

/* The most shards with which the busiest rank has least to do. */
static int64_t best_shards(const dt_spec *spec, const dt_device *device, int ranks) {
  int64_t best = spec->train.shards, most = spec->train.global_batch < SHARDS_MAX ? spec->train.global_batch : SHARDS_MAX;
  for (int64_t s = 1; s <= most; s++) {
    if (step_groups(spec, device, s, ranks) <= step_groups(spec, device, best, ranks)) best = s;
  }
  return best;
}

static void warn_groups(const dt_spec *spec, const dt_device *device, int ranks, const dt_warnings *to) {
  int64_t group = device->ops->sample_group, shards = spec->train.shards;
  if (group <= 1) return;
  int64_t samples = divide_up(spec->train.global_batch, shards), places = divide_up(samples, group) * group;
  if ((double)samples / (double)places >= fill_good) return;
  int64_t best = best_shards(spec, device, ranks);
  double gain = (double)step_groups(spec, device, best, ranks) / (double)step_groups(spec, device, shards, ranks);
  if (gain >= fill_good) return;
  dt_warning(
      to,
      "shards of %lld sample%s fill only part of the %s's vectors of %lld: train.shards: %lld gives up to %.1f times the "
      "speed, with other bits",
      (long long)samples, samples == 1 ? "" : "s", device->ops->name, (long long)group, (long long)best, 1 / gain);
}

static void warn_batch(const dt_spec *spec, int64_t samples, const dt_warnings *to) {
  if (samples == 0 || samples >= spec->train.global_batch) return;
  dt_warning(to, "train.global_batch: %lld is more than the %lld training samples: each step is a whole epoch of %lld",
             (long long)spec->train.global_batch, (long long)samples, (long long)samples);
}

/* More threads than a process may use cores are the config's own matter (dt_spec_warnings). */
static void warn_threads(const dt_spec *spec, const dt_shares *shares, const dt_warnings *to) {
  if ((double)spec->threads <= shares->cores || spec->threads > shares->available) return;
  dt_warning(to, "%d ranks x %lld threads on %d cores: they wait for one another; threads: auto shares the cores out",
             shares->local_ranks, (long long)spec->threads, shares->available);
}

/* What a device cannot do with a data set in its own memory. */
static void warn_cache(const dt_spec *spec, const dt_device *device, const dt_warnings *to) {
  const dt_choices *augment = &spec->data.augment;
  char what[SHARES_TEXT] = "data.mix";
  if (device->ops->own_memory == NULL || !spec->data.device_cache || dt_data_may_be_held(spec)) return;
  for (int i = augment->count - 1; i >= 0; i--) {
    const dt_kind *kind = augment->item[i].kind;
    if (((const dt_augment *)kind->impl)->draw == NULL) snprintf(what, sizeof what, "data.augment.%d.%s", i, kind->name);
  }
  dt_warning(to, "%s: made by the host, so the training set stays there and its samples are copied to the %s step by step",
             what, device->ops->name);
}

void dt_share_warnings(const dt_spec *spec, const dt_device *device, const dt_shares *shares, const dt_warnings *to) {
  warn_ranks(spec, device, shares->ranks, to);
  warn_groups(spec, device, shares->ranks, to);
  warn_batch(spec, shares->train_samples, to);
  warn_threads(spec, shares, to);
  warn_cache(spec, device, to);
}
