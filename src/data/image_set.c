#include "data/image_set.h"

#include <inttypes.h>
#include <jpeglib.h>
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CLASSES_MAX = 1 << 20 };

const char *const dt_image_broken_words[] = {"fail", "skip", NULL};
const char *const dt_image_cache_words[] = {"auto", "off", NULL};
const char *const dt_image_cover_words[] = {"cover", NULL};

dt_status dt_image_attr_check(const dt_image_attr *attr) {
  const dt_ints *size = &attr->size;
  DT_REQUIRE(size->count == 1 || size->count == 2, DT_USAGE, "size: found %d numbers, expected [height, width] or one for both",
             size->count);
  DT_REQUIRE(attr->channels != 2, DT_USAGE, "channels: found 2, expected 3 or 1");
  for (int i = 0; i < size->count; i++) {
    DT_REQUIRE(attr->resize == 0 || attr->resize >= size->value[i], DT_USAGE,
               "resize: found %" PRId64 ", expected %" PRId64 " or more, as size says", attr->resize, size->value[i]);
  }
  return DT_OK;
}

static dt_image_fit fit_of(const dt_image_attr *attr) {
  return (dt_image_fit){.height = attr->size.value[0],
                        .width = attr->size.value[attr->size.count - 1],
                        .resize = attr->resize,
                        .channels = (int)attr->channels};
}

void dt_image_declare(const dt_image_attr *attr, bool labelled, dt_fields *out) {
  const dt_image_fit fit = fit_of(attr);
  *out = (dt_fields){.field = {{.name = "input", .dtype = DT_U8, .shape = {3, {fit.channels, fit.height, fit.width}}},
                               {.name = "label", .dtype = DT_I32}},
                     .count = labelled ? 2 : 1};
}

/* --- collecting --- */

static dt_status grow(void *array, int64_t needed, size_t bytes, int64_t *room) {
  if (needed <= *room) return DT_OK;
  const int64_t wanted = needed + needed / 2 + 64;
  void *larger = realloc(*(void **)array, (size_t)wanted * bytes);
  DT_REQUIRE(larger != NULL, DT_MEMORY, "could not allocate %" PRId64 " bytes for a list of images", wanted * (int64_t)bytes);
  *(void **)array = larger;
  *room = wanted;
  return DT_OK;
}

/* Where the class stands, or would. At most half of the slots are taken. */
static int32_t *find_slot(const dt_image_set *set, const char *name) {
  uint64_t at = XXH3_64bits(name, strlen(name));
  for (;; at++) {
    int32_t *slot = &set->slot[at & (set->slots - 1)];
    if (*slot == 0 || strcmp(set->classes[*slot - 1], name) == 0) return slot;
  }
}

static dt_status make_slots(dt_image_set *set) {
  enum { FIRST = 256 };
  if (2 * ((uint32_t)set->class_count + 1) <= set->slots) return DT_OK;
  free(set->slot);
  set->slot = NULL;
  set->slots = set->slots > 0 ? 4 * set->slots : FIRST;
  DT_TRY(dt_alloc(set->slots, sizeof *set->slot, &set->slot));
  for (int c = 0; c < set->class_count; c++) *find_slot(set, set->classes[c]) = c + 1;
  return DT_OK;
}

dt_status dt_image_set_class(dt_image_set *set, const char *name, int32_t *out) {
  int64_t room = set->class_room;
  DT_TRY(make_slots(set));
  int32_t *slot = find_slot(set, name);
  *out = *slot - 1;
  if (*slot > 0) return DT_OK;
  DT_REQUIRE(set->class_count < CLASSES_MAX, DT_DATA, "found more than %d classes", CLASSES_MAX);
  DT_TRY(grow(&set->classes, set->class_count + 1, sizeof *set->classes, &room));
  set->class_room = (int)room;
  char *copy = strdup(name);
  DT_REQUIRE(copy != NULL, DT_MEMORY, "could not allocate the name of a class");
  set->classes[set->class_count] = copy;
  *out = set->class_count++;
  *slot = set->class_count;
  return DT_OK;
}

dt_status dt_image_set_add(dt_image_set *set, const char *name, dt_image_item item) {
  const size_t bytes = strlen(name) + 1;
  int64_t room = (int64_t)set->names_room;
  DT_TRY(grow(&set->item, set->count + 1, sizeof item, &set->room));
  DT_TRY(grow(&set->names, (int64_t)(set->names_bytes + bytes), 1, &room));
  set->names_room = (size_t)room;
  item.name = set->names_bytes;
  memcpy(set->names + set->names_bytes, name, bytes);
  set->names_bytes += bytes;
  set->item[set->count++] = item;
  return DT_OK;
}

void dt_image_set_free(dt_image_set *set) {
  for (int c = 0; c < set->class_count; c++) free((void *)set->classes[c]);
  free(set->classes);
  free(set->slot);
  free(set->names);
  free(set->item);
  *set = (dt_image_set){.count = 0};
}

/* --- order and labels --- */

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* rank[c]: the place of the class met as number c among all names in the order of bytes. */
static dt_status order_classes(const dt_image_set *set, int32_t **out_rank, const char ***out_sorted) {
  const size_t count = (size_t)set->class_count;
  const char **sorted = NULL;
  int32_t *rank = NULL;
  dt_status status;
  DT_TRY_GOTO(failed, dt_alloc(count + 1, sizeof *sorted, &sorted));
  DT_TRY_GOTO(failed, dt_alloc(count + 1, sizeof *rank, &rank));
  if (count > 0) memcpy(sorted, set->classes, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, by_name);
  for (size_t c = 0; c < count; c++) {
    const char **found = bsearch(&set->classes[c], sorted, count, sizeof *sorted, by_name);
    rank[c] = (int32_t)(found - sorted);
  }
  *out_rank = rank;
  *out_sorted = sorted;
  return DT_OK;
failed:
  free(sorted);
  free(rank);
  return status;
}

typedef struct order {
  const char *names;
  const int32_t *rank;
} order;

static int by_class_and_name(const void *a, const void *b, void *context) {
  const dt_image_item *x = a, *y = b;
  const order *o = context;
  const int32_t left = x->class_number < 0 ? -1 : o->rank[x->class_number],
                right = y->class_number < 0 ? -1 : o->rank[y->class_number];
  if (left != right) return left < right ? -1 : 1;
  return strcmp(o->names + x->name, o->names + y->name);
}

static dt_status sort_items(dt_image_set *set, const int32_t *rank, const char *source) {
  order o = {.names = set->names, .rank = rank};
  qsort_r(set->item, (size_t)set->count, sizeof *set->item, by_class_and_name, &o);
  for (int64_t i = 1; i < set->count; i++) {
    DT_REQUIRE(by_class_and_name(&set->item[i - 1], &set->item[i], &o) != 0, DT_DATA,
               "%s: found %.200s twice, expected every image once", source, set->names + set->item[i].name);
  }
  return DT_OK;
}

static int find_class(const dt_strings *classes, const char *name) {
  for (int i = 0; i < classes->count; i++) {
    if (strcmp(classes->value[i], name) == 0) return i;
  }
  return -1;
}

/* A name that is a whole number below 2^24; -1 where it is none. */
static int32_t number_of(const char *name) {
  int32_t value = 0;
  for (const char *p = name; *p != '\0'; p++) {
    if (*p < '0' || *p > '9' || value >= 1 << 20) return -1;
    value = 10 * value + (*p - '0');
  }
  return name[0] != '\0' ? value : -1;
}

/* Where every name is a number. */
static bool are_numbers(const dt_image_set *set) {
  bool all = set->numbered;
  for (int c = 0; c < set->class_count; c++) all &= number_of(set->classes[c]) >= 0;
  return all;
}

/* label[c] of the class met as number c; before, it is the class's place among all names. */
static dt_status number_classes(const dt_image_set *set, const dt_data_request *request, const char *source, int32_t *label) {
  const dt_strings *listed = &request->classes;
  if (listed->count == 0 && !are_numbers(set)) return DT_OK;
  for (int c = 0; c < set->class_count; c++) {
    const int32_t number = set->numbered ? number_of(set->classes[c]) : -1;
    label[c] = find_class(listed, set->classes[c]);
    if (label[c] < 0 && (listed->count == 0 || number < listed->count)) label[c] = number;
    DT_REQUIRE(label[c] >= 0, DT_DATA, "%s: found class %.100s, expected one of the %d of data.classes", source,
               set->classes[c], request->classes.count);
  }
  return DT_OK;
}

dt_status dt_image_set_drop_unused(dt_image_set *set) {
  int32_t *number, kept = 0;
  DT_TRY(dt_alloc((size_t)set->class_count, sizeof *number, &number));
  for (int64_t i = 0; i < set->count; i++) {
    if (set->item[i].class_number >= 0) number[set->item[i].class_number] = 1;
  }
  for (int c = 0; c < set->class_count; c++) {
    if (number[c] == 0) {
      free((void *)set->classes[c]);
      continue;
    }
    set->classes[kept] = set->classes[c];
    number[c] = kept++;
  }
  for (int64_t i = 0; i < set->count; i++) {
    if (set->item[i].class_number >= 0) set->item[i].class_number = number[set->item[i].class_number];
  }
  set->class_count = kept;
  free(set->slot);
  set->slot = NULL;
  set->slots = 0;
  free(number);
  return DT_OK;
}

/* --- the store --- */

static dt_status image_read(const dt_store *base, int64_t sample, void *to) {
  const dt_image_store *store = (const dt_image_store *)base;
  const dt_image_item *item = &store->item[sample];
  uint8_t *bytes = NULL;
  size_t count = 0;
  dt_image image;
  char why[DT_IMAGE_WHY], name[DT_IMAGE_NAME];
  DT_TRY(store->fetch(store, item, &bytes, &count));
  dt_status status = dt_image_decode(bytes, count, &image, why);
  free(bytes);
  DT_REQUIRE(status != DT_DATA, DT_DATA, "%s: found %s, expected a whole JPEG or PNG image",
             store->describe(store, item, name, sizeof name), why);
  if (status == DT_OK) status = dt_image_sample(&image, &store->fit, to);
  dt_image_destroy(&image);
  return status;
}

static void image_destroy(dt_store *base) {
  dt_image_store *store = (dt_image_store *)base;
  free(store->item);
  free(store->names);
  store->close(store);
}

static const dt_store_ops store_ops = {.read = image_read, .destroy = image_destroy};

/* Two stores of equal hash have samples of the same names and sizes, read alike; of equal key, also of the same time, by the
 * same decoders. */
static void make_hashes(dt_image_store *store, int32_t (*label)(const void *, const dt_image_item *), const void *context) {
  const int64_t fit[] = {store->fit.height, store->fit.width, store->fit.resize, store->fit.channels};
  XXH64_hash_t hash = XXH3_64bits(fit, sizeof fit);
  XXH64_hash_t key = XXH3_64bits(DTRAIN_VERSION, sizeof DTRAIN_VERSION - 1);
  for (int64_t i = 0; i < store->base.count; i++) {
    const dt_image_item *item = &store->item[i];
    const char *name = store->names + item->name;
    const int64_t of[] = {(int64_t)strlen(name), item->bytes, label(context, item)};
    hash = XXH3_64bits_withSeed(of, sizeof of, hash);
    hash = XXH3_64bits_withSeed(name, strlen(name), hash);
    key = XXH3_64bits_withSeed(&item->changed, sizeof item->changed, key);
  }
  const int64_t decoders[] = {LIBJPEG_TURBO_VERSION_NUMBER, JPEG_LIB_VERSION, (int64_t)hash};
  key = XXH3_64bits_withSeed(decoders, sizeof decoders, key);
  store->base.hash = hash;
  store->base.key = XXH3_64bits_withSeed(spng_version_string(), strlen(spng_version_string()), key);
}

static int32_t label_of(const void *context, const dt_image_item *item) {
  return item->class_number < 0 ? -1 : ((const int32_t *)context)[item->class_number];
}

/* --- the data set --- */

/* "a\0b\0c\0". Returns new. */
static dt_status join_names(const char *const *names, int count, char **out) {
  size_t bytes = 1, at = 0;
  for (int c = 0; c < count; c++) bytes += strlen(names[c]) + 1;
  DT_TRY(dt_alloc(bytes, 1, out));
  for (int c = 0; c < count; c++) at += (size_t)sprintf(*out + at, "%s", names[c]) + 1;
  return DT_OK;
}

static dt_status make_dataset(const dt_image_set *set, const dt_image_attr *attr, const char *source, const int32_t *label,
                              dt_dataset **out) {
  static const int64_t total[DT_FIELDS_MAX] = {DT_TOTAL_STORED};
  dt_fields fields;
  dt_image_declare(attr, set->class_count > 0, &fields);
  DT_TRY(dt_dataset_create(&fields, set->count, total, out));
  for (int64_t i = 0; i < set->count; i++) {
    (*out)->data[0].index[i] = i;
    if (fields.count > 1) ((int32_t *)(*out)->data[1].values)[i] = label_of(label, &set->item[i]);
  }
  (*out)->source = strdup(source);
  DT_REQUIRE((*out)->source != NULL, DT_MEMORY, "could not allocate the name of a data set");
  return DT_OK;
}

static void fill_store(dt_image_store *store, dt_image_set *set, const dt_image_attr *attr, const int32_t *label) {
  const dt_image_fit fit = fit_of(attr);
  store->base = (dt_store){.ops = &store_ops,
                           .users = 1,
                           .count = set->count,
                           .bytes = (size_t)(fit.channels * fit.height * fit.width),
                           .skips = attr->broken == DT_IMAGE_SKIP,
                           .may_keep = attr->cache == 0};
  store->fit = fit;
  store->item = set->item;
  store->names = set->names;
  set->item = NULL;
  set->names = NULL;
  make_hashes(store, label_of, label);
}

dt_status dt_image_set_load(dt_image_set *set, const dt_image_attr *attr, const dt_data_request *request, const char *source,
                            dt_image_store *store, dt_dataset **out) {
  int32_t *rank = NULL;
  const char **sorted = NULL;
  dt_dataset *dataset = NULL;
  dt_status status;
  if (set->count == 0) DT_RAISE_GOTO(done, DT_DATA, "%s: found no image, expected one or more", source);
  DT_TRY_GOTO(done, order_classes(set, &rank, &sorted));
  DT_TRY_GOTO(done, sort_items(set, rank, source));
  DT_TRY_GOTO(done, number_classes(set, request, source, rank));
  DT_TRY_GOTO(done, make_dataset(set, attr, source, rank, &dataset));
  if (request->classes.count == 0 && set->class_count > 0 && !are_numbers(set))
    DT_TRY_GOTO(done, join_names(sorted, set->class_count, &dataset->classes));
  fill_store(store, set, attr, rank);
  dataset->data[0].store = &store->base;
  store = NULL;
done:
  if (store != NULL) store->close(store);
  if (status != DT_OK) dt_dataset_destroy(&dataset);
  *out = dataset;
  free(sorted);
  free(rank);
  return status;
}
