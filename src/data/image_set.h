/* Images with classes, wherever they lie: what the formats `images` and `tar` have in common. A format finds the items and
 * fetches the bytes of one; here they get their order and their labels, are decoded, and become a data set. */
#ifndef DT_DATA_IMAGE_SET_H
#define DT_DATA_IMAGE_SET_H

#include "core/config/rows.h"
#include "data/data.h"
#include "data/image.h"

enum { DT_IMAGE_FAIL, DT_IMAGE_SKIP }; /* broken */

/* Options that both formats have. */
typedef struct dt_image_attr {
  dt_ints size; /* [height, width], or one number for both */
  int64_t resize, channels;
  int broken, cache;
} dt_image_attr;

extern const char *const dt_image_broken_words[], *const dt_image_cache_words[];
/* Rows of these options for a struct that has them as a member. */
#define DT_IMAGE_ROWS(type, member)                                                                                          \
  DT_ROW_INTS("size", offsetof(type, member.size), "224", 1, 8192,                                                           \
              "Of a sample: [height, width], or one number for both; the middle of the image is cut to it.",                 \
              .unit = "pixels"),                                                                                             \
      DT_ROW_INT("resize", offsetof(type, member.resize), "cover", 1, 16384,                                                 \
                 "What the image's shorter side becomes before the middle is cut out; cover: no more is cut off than the "   \
                 "form asks for.",                                                                                           \
                 .unit = "pixels", .choices = dt_image_cover_words),                                                         \
      DT_ROW_INT("channels", offsetof(type, member.channels), "3", 1, 3, "3: red, green and blue; 1: their luma."),          \
      DT_ROW_ENUM("broken", offsetof(type, member.broken), "fail", dt_image_broken_words,                                    \
                  "What becomes of an image that cannot be decoded whole: an error; or it is left out, and counted, on all " \
                  "ranks alike, for which every image is decoded once before training."),                                    \
      DT_ROW_ENUM("cache", offsetof(type, member.cache), "auto", dt_image_cache_words,                                       \
                  "Whether decoded images stay in memory for the next epoch: auto, where all of them fit into a quarter of " \
                  "what is free for each rank.",                                                                             \
                  .keeps_results = true)
extern const char *const dt_image_cover_words[];

dt_status dt_image_attr_check(const dt_image_attr *attr);
/* The fields input and, `labelled`, label. */
void dt_image_declare(const dt_image_attr *attr, bool labelled, dt_fields *out);

typedef struct dt_image_item {
  size_t name;          /* in dt_image_set.names */
  int32_t class_number; /* in the order in which classes were met; -1 = it has none */
  int32_t file;         /* in which it lies, for formats that have several */
  int64_t at, bytes;    /* where in the file, and how much of it */
  int64_t changed;      /* when it was, as far as the format knows */
} dt_image_item;

typedef struct dt_image_set {
  dt_image_item *item;
  int64_t count, room;
  char *names; /* each with its end */
  size_t names_bytes, names_room;
  const char **classes; /* in the order in which they were met; new */
  int class_count, class_room;
  int32_t *slot; /* [slots], a hash table of classes by their names: the number + 1, 0 = free */
  uint32_t slots;
  bool numbered; /* names of classes may be labels themselves: whole numbers */
} dt_image_set;

/* The number of a class by its name, which is copied. DT_MEMORY; DT_DATA beyond 2^20 classes. */
dt_status dt_image_set_class(dt_image_set *set, const char *name, int32_t *out);
/* Forgets the classes that no item has; the others keep their order. No class can be found by its name any more. DT_MEMORY. */
dt_status dt_image_set_drop_unused(dt_image_set *set);
/* item.name is set here. DT_MEMORY. */
dt_status dt_image_set_add(dt_image_set *set, const char *name, dt_image_item item);
void dt_image_set_free(dt_image_set *set);

/* The store of a format: its first member is a dt_image_store. */
typedef struct dt_image_store {
  dt_store base;
  dt_image_fit fit;
  dt_image_item *item; /* [base.count] */
  char *names;
  /* The bytes of an item, in new memory. Called by several threads at once. DT_DATA, DT_IO, DT_MEMORY. */
  dt_status (*fetch)(const struct dt_image_store *store, const dt_image_item *item, uint8_t **out, size_t *out_count);
  /* The name of an item for messages, in text of `bytes` bytes; returns text. */
  const char *(*describe)(const struct dt_image_store *store, const dt_image_item *item, char *text, size_t bytes);
  void (*close)(struct dt_image_store *store); /* what the format has of its own; the store itself goes with it */
} dt_image_store;

enum { DT_IMAGE_NAME = 512, DT_IMAGE_FILE_MAX = 1 << 29 };

/* Orders the items by class and name, gives them labels (by data.classes where the request has them, else by the classes'
 * names in the order of bytes), and makes the data set; what the set holds goes over to the store, and the store is the data
 * set's from now on, or closed. `source` names the whole. DT_DATA where there is no image, an item twice, or a class that
 * data.classes lacks; DT_MEMORY. Returns new. */
dt_status dt_image_set_load(dt_image_set *set, const dt_image_attr *attr, const dt_data_request *request, const char *source,
                            dt_image_store *store, dt_dataset **out);

#endif
