/* Finding, verifying and reading a checkpoint. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/foreign.h"
#include "checkpoint/parts.h"
#include "core/program/graph.h"

struct dt_checkpoint {
  dt_checkpoint_meta meta;
  char path[PATH_MAX];
  char *config;
  dt_contents contents;
  dt_tensor_ref *model, *optimizer;
  int model_count, optimizer_count;
};

/* ---- opening ---- */

static dt_status make_config(dt_checkpoint *checkpoint) {
  uint64_t bytes = checkpoint->contents.manifest.part[DT_PART_CONFIG].bytes;
  DT_TRY(dt_alloc(bytes + 1, 1, &checkpoint->config));
  memcpy(checkpoint->config, checkpoint->contents.part[DT_PART_CONFIG], bytes);
  return DT_OK;
}

static dt_status parse_part(const dt_contents *contents, dt_part part, dt_tensor_ref **out, int *out_count) {
  return dt_safetensors_parse(dt_part_file[part], contents->part[part], contents->manifest.part[part].bytes, out, out_count);
}

static dt_status fill(dt_checkpoint *checkpoint) {
  const dt_manifest *manifest = &checkpoint->contents.manifest;
  DT_TRY(make_config(checkpoint));
  DT_TRY(parse_part(&checkpoint->contents, DT_PART_MODEL, &checkpoint->model, &checkpoint->model_count));
  DT_TRY(parse_part(&checkpoint->contents, DT_PART_OPTIMIZER, &checkpoint->optimizer, &checkpoint->optimizer_count));
  checkpoint->meta = (dt_checkpoint_meta){
      .samples_seen = manifest->samples_seen,
      .step = manifest->step,
      .epoch = manifest->epoch,
      .train = manifest->train,
      .eval = manifest->eval,
      .evaluation_due = manifest->evaluation_due,
      .config = checkpoint->config,
      .fingerprint = manifest->fingerprint,
  };
  memcpy(checkpoint->meta.watch, manifest->watch, sizeof manifest->watch);
  return DT_OK;
}

static dt_status open_folder(int folder_fd, const dt_candidate *named, dt_checkpoint **out) {
  dt_checkpoint *checkpoint;
  DT_TRY(dt_alloc(1, sizeof *checkpoint, &checkpoint));
  dt_status status = dt_contents_read(folder_fd, named, &checkpoint->contents);
  if (status == DT_OK) status = fill(checkpoint);
  if (status != DT_OK) dt_checkpoint_close(&checkpoint);
  *out = checkpoint;
  return status;
}

/* One candidate below dir_fd; its failure is a line in `refused`, and only running out of memory stops the walk. */
static dt_status open_candidate(int dir_fd, const dt_candidate *candidate, FILE *refused, dt_checkpoint **out) {
  int fd;
  dt_status status = dt_candidate_open(dir_fd, candidate->name, &fd);
  if (status == DT_OK) {
    status = open_folder(fd, candidate, out);
    close(fd);
  }
  if (status == DT_OK || status == DT_MEMORY) return status;
  fprintf(refused, "%s%s: %s", ftell(refused) > 0 ? "\n" : "", candidate->name, dt_error_text());
  dt_error_clear();
  return DT_OK;
}

static dt_status walk(const char *path, int dir_fd, FILE *refused, dt_checkpoint **out) {
  dt_candidate *list;
  int count;
  dt_status status = dt_candidate_list(dir_fd, path, &list, &count);
  for (int i = 0; status == DT_OK && *out == NULL && i < count; i++) {
    status = open_candidate(dir_fd, &list[i], refused, out);
    if (status == DT_OK && *out != NULL) snprintf((*out)->path, PATH_MAX, "%s/%s", path, list[i].name);
  }
  free(list);
  return status;
}

static dt_status open_newest(const char *path, int dir_fd, dt_checkpoint **out, char **out_refused) {
  size_t bytes;
  FILE *refused = open_memstream(out_refused, &bytes);
  DT_REQUIRE(refused != NULL, DT_MEMORY, "no memory to open %s", path);
  dt_status status = walk(path, dir_fd, refused, out);
  fclose(refused);
  DT_TRY(status);
  DT_REQUIRE(*out != NULL || bytes > 0, DT_CHECKPOINT, "%s: holds no complete checkpoint", path);
  DT_REQUIRE(*out != NULL, DT_CHECKPOINT, "%s: no checkpoint can be used\n%s", path, *out_refused);
  return DT_OK;
}

static bool is_checkpoint_folder(const char *name, int dir_fd) {
  dt_candidate candidate;
  struct stat info;
  return dt_candidate_parse(name, &candidate) || fstatat(dir_fd, dt_manifest_file, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Exactly this folder: the error text gets the folder in front. */
static dt_status open_exactly(const char *path, const char *name, int dir_fd, dt_checkpoint **out) {
  dt_candidate named;
  char reason[1024];
  dt_status status = open_folder(dir_fd, dt_candidate_parse(name, &named) ? &named : NULL, out);
  if (status == DT_OK) snprintf((*out)->path, PATH_MAX, "%s", path);
  if (status == DT_OK || status == DT_MEMORY) return status;
  snprintf(reason, sizeof reason, "%s", dt_error_text());
  dt_error_clear();
  DT_RAISE(DT_CHECKPOINT, "%s: %s", path, reason);
}

/* What is wrong with a path that is not a directory. */
static dt_status refuse_path(const char *path, int cause) {
  uint8_t head[64];
  struct stat info;
  DT_REQUIRE(cause != ENOENT, DT_CHECKPOINT, "%s: could not open: %s; nothing has been trained there yet", path,
             strerror(cause));
  DT_REQUIRE(cause == ENOTDIR && stat(path, &info) == 0, DT_CHECKPOINT, "%s: could not open: %s", path, strerror(cause));
  DT_REQUIRE(S_ISREG(info.st_mode), DT_CHECKPOINT, "%s: is a pipe or device, expected a checkpoint folder", path);
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ssize_t bytes = fd >= 0 ? read(fd, head, sizeof head) : 0;
  if (fd >= 0) close(fd);
  const char *format = dt_foreign_format(head, bytes > 0 ? (size_t)bytes : 0);
  DT_RAISE(DT_CHECKPOINT, "%s: is %s, expected a checkpoint folder of dtrain", path, format != NULL ? format : "a file");
}

enum { FOLDER = PATH_MAX - DT_CHECKPOINT_NAME - 1 }; /* a checkpoint's name may follow */

static bool is_checkpoint_file(const char *name) {
  bool is = strcmp(name, dt_manifest_file) == 0;
  for (int p = 0; p < DT_PART_COUNT; p++) is = is || strcmp(name, dt_part_file[p]) == 0;
  return is;
}

/* A file of a checkpoint stands for the folder that it is in, which goes into `folder`; any other path for itself. */
static const char *folder_of(const char *path, char folder[FOLDER]) {
  char copy[PATH_MAX];
  struct stat info;
  if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) || !is_checkpoint_file(basename(strcpy(copy, path)))) return path;
  strcpy(copy, path);
  snprintf(folder, FOLDER, "%s", dirname(copy));
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool whole = fd >= 0 && fstatat(fd, dt_manifest_file, &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (fd >= 0) close(fd);
  return whole ? folder : path;
}

dt_status dt_checkpoint_open(const char *path, dt_checkpoint **out, char **out_refused_text) {
  char folder[FOLDER];
  *out = NULL;
  *out_refused_text = NULL;
  DT_REQUIRE(strlen(path) < FOLDER, DT_CHECKPOINT, "%.100s...: path too long", path);
  path = folder_of(path, folder);
  int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0) return refuse_path(path, errno);
  char copy[PATH_MAX];
  const char *name = basename(strcpy(copy, path));
  dt_status status = DT_OK;
  char *refused = NULL;
  if (!is_checkpoint_folder(name, dir_fd)) {
    status = open_newest(path, dir_fd, out, &refused);
  } else {
    status = open_exactly(path, name, dir_fd, out);
    if (status == DT_OK) status = dt_alloc(1, 1, &refused);
  }
  close(dir_fd);
  if (status == DT_OK) {
    *out_refused_text = refused;
    return DT_OK;
  }
  free(refused);
  dt_checkpoint_close(out);
  return status;
}

const dt_checkpoint_meta *dt_checkpoint_get_meta(const dt_checkpoint *checkpoint) {
  return &checkpoint->meta;
}

const char *dt_checkpoint_path(const dt_checkpoint *checkpoint) {
  return checkpoint->path;
}

void dt_checkpoint_close(dt_checkpoint **checkpoint) {
  if (*checkpoint == NULL) return;
  free((*checkpoint)->config);
  free((*checkpoint)->model);
  free((*checkpoint)->optimizer);
  dt_contents_clear(&(*checkpoint)->contents);
  free(*checkpoint);
  *checkpoint = NULL;
}

bool dt_checkpoint_exists(const char *dir) {
  dt_candidate *list = NULL;
  int count = 0;
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  if (dt_candidate_list(fd, dir, &list, &count) != DT_OK) dt_error_clear();
  free(list);
  close(fd);
  return count > 0;
}

/* ---- reading ---- */

static const dt_tensor_ref *find(const dt_tensor_ref *tensor, int count, const char *name) {
  for (int i = 0; i < count; i++)
    if (strcmp(tensor[i].name, name) == 0) return &tensor[i];
  return NULL;
}

static bool is_real(dt_dtype dtype) {
  return dtype == DT_F32 || dtype == DT_F64;
}

static dt_status match_one(const char *path, dt_part part, const dt_tensor_ref *saved, const dt_tensor_ref *into) {
  char have[DT_SHAPE_TEXT], want[DT_SHAPE_TEXT];
  const char *file = dt_part_file[part];
  DT_REQUIRE(saved != NULL, DT_CHECKPOINT, "%s: %s: no tensor %s %s, which the model has", path, file, into->name,
             dt_shape_text(&into->shape, want));
  DT_REQUIRE(dt_shape_equal(&saved->shape, &into->shape), DT_CHECKPOINT, "%s: %s: tensor %s has shape %s, the model's has %s",
             path, file, into->name, dt_shape_text(&saved->shape, have), dt_shape_text(&into->shape, want));
  bool alike = saved->dtype == into->dtype || (is_real(saved->dtype) && is_real(into->dtype));
  DT_REQUIRE(alike, DT_CHECKPOINT, "%s: %s: tensor %s is %s, the model's is %s", path, file, into->name,
             dt_dtype_name(saved->dtype), dt_dtype_name(into->dtype));
  return DT_OK;
}

/* fp16's loss scale belongs to a precision, not to the model: a run of another precision leaves it alone, and one that finds
 * none begins with its own. */
static bool is_of_a_precision(const char *name) {
  const char *role = strrchr(name, '.');
  return role != NULL && strcmp(role + 1, DT_LOSS_SCALE_ROLE) == 0;
}

/* Both ways, so that nothing is missing and nothing is left over. */
static dt_status match(const char *path, dt_part part, const dt_tensor_ref *saved, int saved_count, const dt_tensor_ref *into,
                       int into_count) {
  char shape[DT_SHAPE_TEXT];
  for (int i = 0; i < into_count; i++) {
    const dt_tensor_ref *found = find(saved, saved_count, into[i].name);
    if (found != NULL || !is_of_a_precision(into[i].name)) DT_TRY(match_one(path, part, found, &into[i]));
  }
  for (int i = 0; i < saved_count; i++)
    DT_REQUIRE(find(into, into_count, saved[i].name) != NULL || is_of_a_precision(saved[i].name), DT_CHECKPOINT,
               "%s: %s: tensor %s %s, which the model does not have", path, dt_part_file[part], saved[i].name,
               dt_shape_text(&saved[i].shape, shape));
  return DT_OK;
}

/* The bytes of a file need not be aligned in memory. */
static void copy_f32_to_f64(const dt_tensor_ref *from, double *to) {
  const uint8_t *bytes = from->data;
  for (int64_t i = 0; i < dt_shape_count(&from->shape); i++) {
    float value;
    memcpy(&value, bytes + i * (int64_t)sizeof value, sizeof value);
    to[i] = value;
  }
}

static void copy_f64_to_f32(const dt_tensor_ref *from, float *to) {
  const uint8_t *bytes = from->data;
  for (int64_t i = 0; i < dt_shape_count(&from->shape); i++) {
    double value;
    memcpy(&value, bytes + i * (int64_t)sizeof value, sizeof value);
    to[i] = (float)value;
  }
}

static void copy_tensors(const dt_tensor_ref *saved, int saved_count, const dt_tensor_ref *into, int into_count) {
  for (int i = 0; i < into_count; i++) {
    const dt_tensor_ref *from = find(saved, saved_count, into[i].name);
    if (from == NULL) continue; /* of a precision: keeps its first value */
    if (from->dtype == into[i].dtype)
      memcpy(into[i].data, from->data, (size_t)dt_shape_count(&from->shape) * dt_dtype_bytes(from->dtype));
    else if (from->dtype == DT_F32)
      copy_f32_to_f64(from, into[i].data);
    else
      copy_f64_to_f32(from, into[i].data);
  }
}

/* Everything is matched before the first byte is copied. */
dt_status dt_checkpoint_read(const dt_checkpoint *c, const dt_checkpoint_tensors *into) {
  DT_TRY(match(c->path, DT_PART_MODEL, c->model, c->model_count, into->model, into->model_count));
  if (into->optimizer_count > 0)
    DT_TRY(match(c->path, DT_PART_OPTIMIZER, c->optimizer, c->optimizer_count, into->optimizer, into->optimizer_count));
  copy_tensors(c->model, c->model_count, into->model, into->model_count);
  copy_tensors(c->optimizer, c->optimizer_count, into->optimizer, into->optimizer_count);
  return DT_OK;
}
