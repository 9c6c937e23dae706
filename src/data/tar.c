/* Images in tar archives, read where they lie: class/name.jpg, or the pairs of WebDataset, 000123.jpg and 000123.cls. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats.h"
#include "data/image_set.h"
#include "data/path.h"
#include "data/tar_walk.h"

typedef struct tar_attr {
  dt_strings files;
  const char *folder;
  dt_image_attr image;
} tar_attr;

/* --- archives --- */

typedef struct archive {
  char *path;
  int file;
  int64_t changed;
} archive;

typedef struct archives {
  archive *item;
  int count;
} archives;

static void archives_close(archives *all) {
  for (int i = 0; i < all->count; i++) {
    if (all->item[i].file >= 0) close(all->item[i].file);
    free(all->item[i].path);
  }
  free(all->item);
  *all = (archives){.count = 0};
}

static dt_status open_archive(const char *dir, const char *name, archive *out) {
  struct stat about;
  out->file = -1;
  DT_TRY(dt_path_join(dir, name, &out->path));
  out->file = open(out->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  DT_REQUIRE(out->file >= 0, DT_DATA, "%s: could not be opened: %s", out->path, strerror(errno));
  DT_REQUIRE(fstat(out->file, &about) == 0 && S_ISREG(about.st_mode), DT_DATA,
             "%s: found no regular file, expected a tar archive", out->path);
  out->changed = about.st_mtim.tv_sec * INT64_C(1000000000) + about.st_mtim.tv_nsec;
  return DT_OK;
}

static dt_status open_archives(const tar_attr *attr, const char *dir, archives *out) {
  DT_TRY(dt_alloc((size_t)attr->files.count, sizeof *out->item, &out->item));
  for (int i = 0; i < attr->files.count; i++) {
    out->count = i + 1;
    DT_TRY(open_archive(dir, attr->files.value[i], &out->item[i]));
  }
  return DT_OK;
}

/* --- looking through them --- */

/* A member that names the class of the image of the same key. */
typedef struct label_member {
  char *key; /* archive/path up to the first point of the last part */
  int32_t class_number;
  bool used;
} label_member;

typedef struct scan {
  const tar_attr *attr;
  const archives *archives;
  int at; /* the archive that is looked through */
  dt_image_set set;
  label_member *label;
  int64_t label_count, label_room;
} scan;

static const char *end_of(const char *name) {
  const char *slash = strrchr(name, '/');
  return slash != NULL ? slash + 1 : name;
}

/* Below attr->folder; NULL where it lies elsewhere. */
static const char *below(const char *folder, const char *name) {
  size_t length = strlen(folder);
  while (length > 0 && folder[length - 1] == '/') length--;
  if (length == 0) return name;
  return strncmp(name, folder, length) == 0 && name[length] == '/' ? name + length + 1 : NULL;
}

/* Returns new, NULL without memory. */
static char *name_in_archive(const scan *s, const char *member, size_t bytes) {
  const char *file = s->attr->files.value[s->at];
  char *name = malloc(strlen(file) + bytes + 2);
  if (name != NULL) sprintf(name, "%s/%.*s", file, (int)bytes, member);
  return name;
}

static size_t key_bytes(const char *name) {
  const char *last = end_of(name), *point = strchr(last, '.');
  return point != NULL ? (size_t)(point - name) : strlen(name);
}

/* A number, or a name of a class, in a member of a few bytes. */
static dt_status add_label(scan *s, const dt_tar_member *member) {
  enum { TEXT = 256 };
  char text[TEXT + 1];
  const archive *from = &s->archives->item[s->at];
  DT_REQUIRE(member->bytes <= TEXT, DT_DATA, "%s: found %" PRId64 " bytes in member %.200s, expected the name of a class",
             from->path, member->bytes, member->name);
  DT_TRY(dt_tar_read(from->file, from->path, member->at, text, (size_t)member->bytes));
  text[member->bytes] = '\0';
  text[strcspn(text, "\r\n")] = '\0';
  DT_REQUIRE(text[0] != '\0', DT_DATA, "%s: found no text in member %.200s, expected the name of a class", from->path,
             member->name);
  if (s->label_count == s->label_room) {
    const int64_t room = s->label_room * 2 + 1024;
    label_member *larger = realloc(s->label, (size_t)room * sizeof *larger);
    DT_REQUIRE(larger != NULL, DT_MEMORY, "could not allocate %" PRId64 " labels", room);
    s->label = larger;
    s->label_room = room;
  }
  label_member *to = &s->label[s->label_count];
  *to = (label_member){.key = name_in_archive(s, member->name, key_bytes(member->name))};
  DT_REQUIRE(to->key != NULL, DT_MEMORY, "could not allocate the name of a label");
  s->label_count++;
  return dt_image_set_class(&s->set, text, &to->class_number);
}

/* Whether a member is to be a sample: by its name, or, where that says nothing, by its first bytes. What is no image is passed
 * over; another kind of image is not. */
static dt_status is_image(const scan *s, const dt_tar_member *member, bool *out) {
  uint8_t head[16];
  const archive *from = &s->archives->item[s->at];
  *out = dt_image_named(member->name);
  if (*out) return DT_OK;
  const size_t bytes = member->bytes < (int64_t)sizeof head ? (size_t)member->bytes : sizeof head;
  DT_TRY(dt_tar_read(from->file, from->path, member->at, head, bytes));
  const char *kind = dt_image_kind(head, bytes);
  *out = kind != NULL && (strcmp(kind, "JPEG") == 0 || strcmp(kind, "PNG") == 0);
  if (*out || kind == NULL || !dt_image_pictures(kind)) return DT_OK;
  *out = s->attr->image.broken == DT_IMAGE_SKIP;
  DT_REQUIRE(*out, DT_DATA, "%s/%.200s: found a file of the kind %s, expected JPEG and PNG images; broken: skip leaves it out",
             from->path, member->name, kind);
  return DT_OK;
}

static dt_status add_image(scan *s, const dt_tar_member *member, const char *inside) {
  const char *slash = strchr(inside, '/');
  dt_image_item item = {
      .class_number = -1, .file = s->at, .at = member->at, .bytes = member->bytes, .changed = s->archives->item[s->at].changed};
  if (slash != NULL) {
    char class[DT_TAR_NAME_MAX + 1];
    snprintf(class, sizeof class, "%.*s", (int)(slash - inside), inside);
    DT_TRY(dt_image_set_class(&s->set, class, &item.class_number));
  }
  char *name = name_in_archive(s, member->name, strlen(member->name));
  DT_REQUIRE(name != NULL, DT_MEMORY, "could not allocate the name of an image");
  const dt_status status = dt_image_set_add(&s->set, name, item);
  free(name);
  return status;
}

static dt_status visit(void *context, const dt_tar_member *member) {
  scan *s = context;
  const char *inside = below(s->attr->folder, member->name), *last = end_of(member->name);
  const size_t length = strlen(last);
  bool image;
  if (inside == NULL || inside[0] == '.' || strstr(inside, "/.") != NULL) return DT_OK;
  if (length > 4 && strcmp(last + length - 4, ".cls") == 0) return add_label(s, member);
  DT_TRY(is_image(s, member, &image));
  return image ? add_image(s, member, inside) : DT_OK;
}

/* --- pairs --- */

static int by_key(const void *a, const void *b) {
  return strcmp(((const label_member *)a)->key, ((const label_member *)b)->key);
}

static dt_status pair_image(scan *s, dt_image_item *item) {
  const char *name = s->set.names + item->name;
  char *key = strndup(name, key_bytes(name));
  DT_REQUIRE(key != NULL, DT_MEMORY, "could not allocate the name of an image");
  label_member wanted = {.key = key}, *found = bsearch(&wanted, s->label, (size_t)s->label_count, sizeof *s->label, by_key);
  free(key);
  DT_REQUIRE(found != NULL, DT_DATA, "%.300s: found no member of the same name and .cls beside it, expected one for each image",
             name);
  found->used = true;
  item->class_number = found->class_number;
  return DT_OK;
}

/* Where there are members .cls, they alone say what an image is; all of them have one. */
static dt_status pair_labels(scan *s) {
  if (s->label_count == 0) return DT_OK;
  qsort(s->label, (size_t)s->label_count, sizeof *s->label, by_key);
  for (int64_t i = 1; i < s->label_count; i++) {
    DT_REQUIRE(by_key(&s->label[i - 1], &s->label[i]) != 0, DT_DATA, "%.300s.cls: found twice, expected every label once",
               s->label[i].key);
  }
  for (int64_t i = 0; i < s->set.count; i++) DT_TRY(pair_image(s, &s->set.item[i]));
  for (int64_t i = 0; i < s->label_count; i++) {
    DT_REQUIRE(s->label[i].used, DT_DATA, "%.300s.cls: found no image beside it, expected one for each label", s->label[i].key);
  }
  return dt_image_set_drop_unused(&s->set); /* those of folders */
}

/* All images have a class, or none has. */
static dt_status check_classes(const scan *s) {
  int64_t without = 0;
  const dt_image_item *odd = NULL;
  for (int64_t i = 0; i < s->set.count; i++) {
    without += s->set.item[i].class_number < 0;
    if (s->set.item[i].class_number < 0) odd = &s->set.item[i];
  }
  DT_REQUIRE(without == 0 || without == s->set.count, DT_DATA,
             "%.300s: found an image that is in no folder beside others that are, expected a class for each",
             s->set.names + odd->name);
  return DT_OK;
}

static dt_status scan_archives(scan *s) {
  for (s->at = 0; s->at < s->archives->count; s->at++)
    DT_TRY(dt_tar_walk(s->archives->item[s->at].file, s->archives->item[s->at].path, visit, s));
  DT_TRY(pair_labels(s));
  s->set.numbered = s->label_count > 0;
  return check_classes(s);
}

static void scan_free(scan *s) {
  for (int64_t i = 0; i < s->label_count; i++) free(s->label[i].key);
  free(s->label);
  dt_image_set_free(&s->set);
}

/* --- the store --- */

typedef struct tar_store {
  dt_image_store base;
  archives archives;
  char *dir;
} tar_store;

static dt_status tar_fetch(const dt_image_store *base, const dt_image_item *item, uint8_t **out, size_t *out_count) {
  const archive *from = &((const tar_store *)base)->archives.item[item->file];
  DT_REQUIRE(item->bytes <= DT_IMAGE_FILE_MAX, DT_DATA,
             "%s: found a member of %" PRId64 " bytes, expected an image of %d at most", from->path, item->bytes,
             DT_IMAGE_FILE_MAX);
  DT_TRY(dt_alloc((size_t)item->bytes + 1, 1, out));
  *out_count = (size_t)item->bytes;
  const dt_status status = dt_tar_read(from->file, from->path, item->at, *out, *out_count);
  if (status == DT_OK) return DT_OK;
  free(*out);
  *out = NULL;
  return status;
}

static const char *tar_describe(const dt_image_store *base, const dt_image_item *item, char *text, size_t bytes) {
  const char *dir = ((const tar_store *)base)->dir, *name = base->names + item->name;
  const bool rooted = dir[0] == '\0' || name[0] == '/';
  snprintf(text, bytes, "%s%s%s", rooted ? "" : dir, rooted ? "" : "/", name);
  return text;
}

static void tar_close(dt_image_store *base) {
  tar_store *store = (tar_store *)base;
  archives_close(&store->archives);
  free(store->dir);
  free(store);
}

/* --- the format --- */

static void tar_declare(const void *attr, dt_fields *out) {
  dt_image_declare(&((const tar_attr *)attr)->image, true, out);
}

static dt_status tar_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  const tar_attr *a = attr;
  archives all = {.count = 0};
  scan s = {.attr = a, .archives = &all};
  tar_declare(attr, &out->fields);
  out->count = -1;
  out->total[0] = DT_TOTAL_STORED;
  if (!whole) return DT_OK; /* going through archives takes its time, and loading does it */
  dt_status status = open_archives(a, request->dir, &all);
  if (status == DT_OK) status = scan_archives(&s);
  if (status == DT_OK) {
    dt_image_declare(&a->image, s.set.class_count > 0, &out->fields);
    out->count = s.set.count;
  }
  scan_free(&s);
  archives_close(&all);
  return status;
}

static dt_status name_source(const archives *all, char **out) {
  size_t bytes;
  FILE *memory = open_memstream(out, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate the name of a data set");
  for (int i = 0; i < all->count; i++) fprintf(memory, "%s%s", i > 0 ? ", " : "", all->item[i].path);
  DT_REQUIRE(fclose(memory) == 0, DT_MEMORY, "could not allocate the name of a data set");
  return DT_OK;
}

static dt_status tar_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  const tar_attr *a = attr;
  tar_store *store;
  char *source = NULL;
  DT_TRY(dt_alloc(1, sizeof *store, &store));
  store->base = (dt_image_store){.fetch = tar_fetch, .describe = tar_describe, .close = tar_close};
  scan s = {.attr = a, .archives = &store->archives};
  dt_status status = dt_path_join("", request->dir, &store->dir);
  if (status == DT_OK) status = open_archives(a, request->dir, &store->archives);
  if (status == DT_OK) status = scan_archives(&s);
  if (status == DT_OK) status = name_source(&store->archives, &source);
  if (status == DT_OK)
    status = dt_image_set_load(&s.set, &a->image, request, source, &store->base, out);
  else
    tar_close(&store->base);
  free(source);
  scan_free(&s);
  return status;
}

static dt_status tar_check(const void *attr) {
  const tar_attr *a = attr;
  DT_REQUIRE(a->files.count > 0, DT_USAGE, "found an empty list of files, expected one or more");
  return dt_image_attr_check(&a->image);
}

static const dt_option options[] = {
    DT_ROW_STRINGS(
        "files", offsetof(tar_attr, files), NULL,
        "Archives, plain ones: a sample is read where it lies, in any order, and nothing is unpacked. An image's class is "
        "the first folder of its path, or, where there are members 000123.cls beside 000123.jpg, the name or the "
        "number in them.",
        .path = DT_PATH_PLAIN),
    DT_ROW_STRING("folder", offsetof(tar_attr, folder), "",
                  "Folder within the archives below which images lie; without it, the archives' top."),
    DT_IMAGE_ROWS(tar_attr, image),
    {.name = NULL},
};

static const dt_format impl = {.declare = tar_declare, .inspect = tar_inspect, .load = tar_load};

const dt_kind dt_format_tar = {
    .name = "tar",
    .doc = "JPEG and PNG files in tar archives, decoded when they are needed, as `images` has them.",
    .options = options,
    .attr_bytes = sizeof(tar_attr),
    .positional = "files",
    .impl = &impl,
    .check = tar_check,
};
