/* A folder of images: its folders are classes, named by them; without folders the images have no labels. A file is opened anew
 * for every sample, below the folder alone: no link leads out of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/text.h"
#include "data/formats.h"
#include "data/image_set.h"
#include "data/path.h"

typedef struct images_attr {
  const char *folder;
  dt_image_attr image;
} images_attr;

enum { DEPTH_MAX = 16, NAME_MAX_BYTES = 4096 };

/* --- files below a folder --- */

/* Where the kernel has no openat2, a link is not followed at the end of the path. */
static int open_below(int root, const char *name) {
  struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  const int file = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
  if (file >= 0 || (errno != ENOSYS && errno != EPERM)) return file;
  return openat(root, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

static dt_status open_image(int root, const char *folder, const char *name, int *out_file, struct stat *about) {
  const int file = open_below(root, name);
  const bool leads_out = errno == EXDEV || errno == ELOOP;
  const bool of_the_file = leads_out || errno == ENOENT || errno == ENOTDIR || errno == ENXIO; /* else of the machine */
  DT_REQUIRE(file >= 0, of_the_file ? DT_DATA : DT_IO, "%s/%s: could not be opened: %s", folder, name,
             leads_out ? "a link that leads out of the folder" : strerror(errno));
  if (fstat(file, about) != 0 || !S_ISREG(about->st_mode)) {
    close(file);
    DT_RAISE(DT_DATA, "%s/%s: found no regular file, expected an image", folder, name);
  }
  *out_file = file;
  return DT_OK;
}

static dt_status read_all(int file, const char *folder, const char *name, uint8_t *to, size_t bytes, size_t *out) {
  *out = 0;
  while (*out < bytes) {
    const ssize_t got = read(file, to + *out, bytes - *out);
    if (got < 0 && errno == EINTR) continue;
    DT_REQUIRE(got >= 0, DT_IO, "%s/%s: could not be read: %s", folder, name, strerror(errno));
    if (got == 0) break;
    *out += (size_t)got;
  }
  return DT_OK;
}

/* --- looking through the folder --- */

typedef struct scan {
  int root;
  const char *folder;
  bool skips;
  dt_image_set set;
  int32_t class_number; /* of the folder that is looked through */
  char name[NAME_MAX_BYTES];
} scan;

/* A file whose name says nothing is an image if its first bytes are those of one. */
static dt_status look_inside(const scan *s, int file) {
  uint8_t head[16];
  size_t count;
  DT_TRY(read_all(file, s->folder, s->name, head, sizeof head, &count));
  const char *kind = dt_image_kind(head, count);
  if (kind != NULL && (strcmp(kind, "JPEG") == 0 || strcmp(kind, "PNG") == 0)) return DT_OK;
  DT_RAISE(DT_DATA, "%s/%s: found %s%s, expected JPEG and PNG images alone; broken: skip leaves out what is none", s->folder,
           s->name,
           kind != NULL ? "a file of the kind "
           : count == 0 ? "an empty file"
                        : "a file that is no image",
           kind != NULL ? kind : "");
}

static dt_status add_file(scan *s) {
  struct stat about;
  int file;
  DT_TRY(open_image(s->root, s->folder, s->name, &file, &about));
  const dt_status status = s->skips || dt_image_named(s->name) ? DT_OK : look_inside(s, file);
  close(file);
  DT_TRY(status);
  return dt_image_set_add(&s->set, s->name,
                          (dt_image_item){.class_number = s->class_number,
                                          .bytes = about.st_size,
                                          .changed = about.st_mtim.tv_sec * INT64_C(1000000000) + about.st_mtim.tv_nsec});
}

typedef enum entry_kind { FOLDER, LINK, OTHER } entry_kind;

static dt_status kind_of(const scan *s, int dir, const struct dirent *entry, entry_kind *out) {
  struct stat about;
  DT_REQUIRE(fstatat(dir, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0, DT_DATA, "%s/%s: could not be examined: %s",
             s->folder, s->name, strerror(errno));
  *out = S_ISDIR(about.st_mode) ? FOLDER : S_ISLNK(about.st_mode) ? LINK : OTHER;
  return DT_OK;
}

/* What a scan does with an entry; s->name is its path below the folder. */
typedef dt_status visitor(scan *s, int dir, const struct dirent *entry, int depth);

/* Visits all entries but hidden ones, in any order. */
static dt_status visit_folder(scan *s, int parent, const char *entry_name, int depth, visitor *visit) {
  const size_t length = strlen(s->name);
  const int fd = openat(parent, entry_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth > 0 ? O_NOFOLLOW : 0));
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (dir == NULL) {
    const int code = errno;
    if (fd >= 0) close(fd);
    DT_RAISE(DT_DATA, "%s%s%s: could not be opened: %s", s->folder, length > 0 ? "/" : "", s->name, strerror(code));
  }
  dt_status status = DT_OK;
  for (const struct dirent *e; status == DT_OK && (e = readdir(dir)) != NULL;) {
    if (e->d_name[0] == '.') continue;
    if ((size_t)snprintf(s->name + length, sizeof s->name - length, "%s%s", length > 0 ? "/" : "", e->d_name) >=
        sizeof s->name - length)
      status = dt_error_set(DT_DATA, __FILE__, __LINE__, "%s: found a path of more than %d bytes", s->folder, NAME_MAX_BYTES);
    else
      status = visit(s, dirfd(dir), e, depth);
  }
  s->name[length] = '\0';
  closedir(dir);
  return status;
}

/* Below a class, or where there are none. */
static dt_status visit_entry(scan *s, int dir, const struct dirent *entry, int depth) {
  entry_kind kind;
  DT_TRY(kind_of(s, dir, entry, &kind));
  if (kind != FOLDER) return add_file(s);
  DT_REQUIRE(depth < DEPTH_MAX, DT_DATA, "%s/%s: found folders within folders, expected %d levels at most", s->folder, s->name,
             DEPTH_MAX);
  return visit_folder(s, dir, entry->d_name, depth + 1, visit_entry);
}

static dt_status visit_class(scan *s, int dir, const struct dirent *entry, int depth) {
  entry_kind kind;
  DT_TRY(kind_of(s, dir, entry, &kind));
  if (kind != FOLDER) return DT_OK;
  DT_TRY(dt_image_set_class(&s->set, entry->d_name, &s->class_number));
  return visit_folder(s, dir, entry->d_name, 1, visit_entry);
}

/* Beside folders of classes: a note of the collection's is passed over, an image is of no class. */
static dt_status visit_beside(scan *s, int dir, const struct dirent *entry, int depth) {
  entry_kind kind;
  DT_TRY(kind_of(s, dir, entry, &kind));
  DT_REQUIRE(kind != LINK, DT_DATA, "%s/%s: found a link, expected a folder for each class", s->folder, s->name);
  DT_REQUIRE(kind == FOLDER || !dt_image_named(s->name), DT_DATA,
             "%s/%s: found an image beside the folders of classes, expected it in one of them", s->folder, s->name);
  return DT_OK;
}

static dt_status scan_folder(scan *s) {
  DT_TRY(visit_folder(s, s->root, ".", 0, visit_class));
  if (s->set.class_count > 0) return visit_folder(s, s->root, ".", 0, visit_beside);
  s->class_number = -1;
  return visit_folder(s, s->root, ".", 0, visit_entry);
}

static dt_status open_folder(const images_attr *attr, const dt_data_request *request, char **out_path, int *out_root) {
  DT_TRY(dt_path_join(request->dir, attr->folder, out_path));
  *out_root = open(*out_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DT_REQUIRE(*out_root >= 0, DT_DATA, "%s: could not be opened: %s, expected a folder of images", *out_path, strerror(errno));
  return DT_OK;
}

/* --- the store --- */

typedef struct folder_store {
  dt_image_store base;
  int root;
  char *folder;
} folder_store;

static dt_status folder_fetch(const dt_image_store *base, const dt_image_item *item, uint8_t **out, size_t *out_count) {
  const folder_store *store = (const folder_store *)base;
  const char *name = base->names + item->name;
  struct stat about;
  int file;
  DT_TRY(open_image(store->root, store->folder, name, &file, &about));
  dt_status status = DT_OK;
  if (about.st_size > DT_IMAGE_FILE_MAX)
    status = dt_error_set(DT_DATA, __FILE__, __LINE__, "%s/%s: found %lld bytes, expected an image of %d at most",
                          store->folder, name, (long long)about.st_size, DT_IMAGE_FILE_MAX);
  if (status == DT_OK) status = dt_alloc((size_t)about.st_size + 1, 1, out);
  if (status == DT_OK) status = read_all(file, store->folder, name, *out, (size_t)about.st_size, out_count);
  close(file);
  if (status == DT_OK) return DT_OK;
  free(*out);
  *out = NULL;
  return status;
}

static const char *folder_describe(const dt_image_store *base, const dt_image_item *item, char *text, size_t bytes) {
  snprintf(text, bytes, "%s/%s", ((const folder_store *)base)->folder, base->names + item->name);
  return text;
}

static void folder_close(dt_image_store *base) {
  folder_store *store = (folder_store *)base;
  if (store->root >= 0) close(store->root);
  free(store->folder);
  free(store);
}

/* --- the format --- */

static void images_declare(const void *attr, dt_fields *out) {
  dt_image_declare(&((const images_attr *)attr)->image, true, out);
}

static dt_status images_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  const images_attr *a = attr;
  scan s = {.root = -1, .skips = a->image.broken == DT_IMAGE_SKIP};
  char *path = NULL;
  images_declare(attr, &out->fields);
  out->count = -1;
  out->total[0] = DT_TOTAL_STORED;
  if (!whole) return DT_OK; /* looking through a large folder takes its time, and loading does it */
  dt_status status = open_folder(a, request, &path, &s.root);
  s.folder = path;
  if (status == DT_OK) status = scan_folder(&s);
  if (status == DT_OK) {
    dt_image_declare(&a->image, s.set.class_count > 0, &out->fields);
    out->count = s.set.count;
  }
  dt_image_set_free(&s.set);
  if (s.root >= 0) close(s.root);
  free(path);
  return status;
}

static dt_status images_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  const images_attr *a = attr;
  folder_store *store;
  DT_TRY(dt_alloc(1, sizeof *store, &store));
  store->root = -1;
  store->base.fetch = folder_fetch;
  store->base.describe = folder_describe;
  store->base.close = folder_close;
  scan s = {.skips = a->image.broken == DT_IMAGE_SKIP};
  dt_status status = open_folder(a, request, &store->folder, &store->root);
  s.root = store->root;
  s.folder = store->folder;
  if (status == DT_OK) status = scan_folder(&s);
  if (status == DT_OK)
    status = dt_image_set_load(&s.set, &a->image, request, store->folder, &store->base, out);
  else
    folder_close(&store->base);
  dt_image_set_free(&s.set);
  return status;
}

static dt_status images_check(const void *attr) {
  return dt_image_attr_check(&((const images_attr *)attr)->image);
}

static const dt_option options[] = {
    DT_ROW_STRING("folder", offsetof(images_attr, folder), NULL,
                  "Folder with a folder for each class, in which images lie at any depth; labels count these folders in the "
                  "order of data.classes or, without it, of their names' bytes. Images in no such folder have no label.",
                  .path = DT_PATH_PLAIN),
    DT_IMAGE_ROWS(images_attr, image),
    {.name = NULL},
};

static const dt_format impl = {.declare = images_declare, .inspect = images_inspect, .load = images_load};

const dt_kind dt_format_images = {
    .name = "images",
    .doc =
        "JPEG and PNG files in folders, decoded when they are needed: resized, the middle cut out, bytes [channels, height, "
        "width].",
    .options = options,
    .attr_bytes = sizeof(images_attr),
    .positional = "folder",
    .impl = &impl,
    .check = images_check,
};
