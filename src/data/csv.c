/* Tables: CSV, TSV and their like. Columns of numbers, and of words as one number a word, make the field input; a column makes
 * label, others make target. What a cell may hold is said by the config, so that the training set and every later one are read
 * alike: no column's type, and no word's number, depends on the rows of a file. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/numbers.h"
#include "data/csv_attr.h"
#include "data/csv_words.h"
#include "data/decimal.h"

enum { CELL_TEXT = 60 };

typedef enum column_use { UNUSED, NUMBER, WORDS, LABEL, TARGET, WEIGHT } column_use;

/* What becomes of a column. */
typedef struct column {
  char *name;
  column_use use;
  const dt_strings
      *words; /* WORDS: one number for each, of which one is 1; TARGET, LABEL: the number of each; NULL = numbers */
  int64_t at; /* its first number in input or target */
} column;

/* A format's work, from the first file to the last. */
typedef struct reader {
  const csv_attr *attr;
  const dt_data_request *request;
  const char *path;
  column *columns;
  int64_t column_count, inputs, targets;
  bool keep;        /* the samples; else they are counted */
  bool marks_words; /* no number stands for a missing value: what reads as one is one */
  int64_t count, skipped, capacity;
  float *input, *target, *weight;
  int32_t *label;
} reader;

/* --- columns --- */

static bool is_named(const dt_strings *names, const char *name) {
  for (int i = 0; i < names->count; i++) {
    if (strcmp(names->value[i], name) == 0) return true;
  }
  return false;
}

static const dt_strings *words_of(const csv_attr *attr, const char *name) {
  for (int i = 0; i < attr->categories.count; i++) {
    if (strcmp(attr->categories.item[i].name, name) == 0) return attr->categories.item[i].value;
  }
  return NULL;
}

static int64_t width(const dt_strings *words) {
  return words != NULL ? words->count : 1;
}

static column_use use_of(const csv_attr *attr, const char *name) {
  if (attr->label[0] != '\0' && strcmp(attr->label, name) == 0) return LABEL;
  if (attr->weight[0] != '\0' && strcmp(attr->weight, name) == 0) return WEIGHT;
  if (is_named(&attr->target, name)) return TARGET;
  if (is_named(&attr->ignore, name) || (attr->columns.count > 0 && !is_named(&attr->columns, name))) return UNUSED;
  return words_of(attr, name) != NULL ? WORDS : NUMBER;
}

static void place_column(reader *r, column *c) {
  c->use = use_of(r->attr, c->name);
  c->words = c->use == LABEL ? NULL : words_of(r->attr, c->name);
  if (c->use == LABEL && r->request->classes.count > 0) c->words = &r->request->classes;
  if (c->use == NUMBER || c->use == WORDS) {
    c->at = r->inputs;
    r->inputs += width(c->words);
  }
  for (int t = 0; c->use == TARGET && t < r->attr->target.count; t++) {
    if (strcmp(r->attr->target.value[t], c->name) == 0) c->at = t;
  }
}

/* "a, b, c and 4 others", as many as there is room for. */
static const char *column_names(const reader *r, char *text, size_t bytes) {
  enum { SHOWN = 12 };
  size_t used = 0;
  for (int64_t c = 0; c < r->column_count && c < SHOWN && used < bytes; c++)
    used += (size_t)snprintf(text + used, bytes - used, "%s%.40s", c > 0 ? ", " : "", r->columns[c].name);
  if (r->column_count > SHOWN && used < bytes)
    snprintf(text + used, bytes - used, " and %" PRId64 " others", r->column_count - SHOWN);
  return text;
}

static dt_status check_name(const reader *r, const char *option, const char *name, bool header) {
  char text[640];
  int found = 0;
  for (int64_t c = 0; c < r->column_count; c++) found += strcmp(r->columns[c].name, name) == 0;
  if (found == 1) return DT_OK;
  DT_RAISE(
      DT_DATA, "%s: found %s column %s, which %s names, expected one of %s%s", r->path, found == 0 ? "no" : "more than one",
      name, option, column_names(r, text, sizeof text),
      header && r->attr->header == CSV_AUTO ? "; header: no takes the first line as a row, and columns are named 1, 2, 3" : "");
}

static dt_status check_names(const reader *r, const char *option, const dt_strings *names, bool header) {
  for (int i = 0; i < names->count; i++) DT_TRY(check_name(r, option, names->value[i], header));
  return DT_OK;
}

static dt_status check_columns(const reader *r, bool header) {
  const csv_attr *attr = r->attr;
  if (attr->label[0] != '\0') DT_TRY(check_name(r, "label", attr->label, header));
  if (attr->weight[0] != '\0') DT_TRY(check_name(r, "weight", attr->weight, header));
  DT_TRY(check_names(r, "target", &attr->target, header));
  DT_TRY(check_names(r, "columns", &attr->columns, header));
  DT_TRY(check_names(r, "ignore", &attr->ignore, header));
  for (int i = 0; i < attr->categories.count; i++) DT_TRY(check_name(r, "categories", attr->categories.item[i].name, header));
  DT_REQUIRE(r->inputs > 0, DT_DATA, "%s: found no column for the input, expected one or more besides label, target and ignore",
             r->path);
  return DT_OK;
}

static dt_status name_columns(reader *r, const dt_cell *cell, int64_t count, bool header) {
  DT_TRY(dt_alloc((size_t)count, sizeof *r->columns, &r->columns));
  r->column_count = count;
  for (int64_t c = 0; c < count; c++) {
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, c + 1);
    r->columns[c].name = header && cell[c].bytes > 0 ? dt_csv_text(&cell[c]) : strdup(number);
    DT_REQUIRE(r->columns[c].name != NULL, DT_MEMORY, "could not allocate a column's name");
    place_column(r, &r->columns[c]);
  }
  return check_columns(r, header);
}

/* --- cells --- */

/* Names the cell, and what would make it right, for which the column is read once more. */
static dt_status refuse(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, const char *expected) {
  char text[CELL_TEXT + 4], hint[DT_CSV_HINT];
  dt_csv_quote(cell, text, CELL_TEXT);
  double number;
  const bool is_number = dt_decimal_read(cell->text, cell->bytes, dt_csv_points[r->attr->decimal], &number);
  hint[0] = '\0';
  if (c->use == LABEL || (c->use != WEIGHT && !is_number))
    dt_csv_hint(r->path, r->attr, c->name, c - r->columns, c->use == LABEL, hint);
  DT_RAISE(DT_DATA, "%s:%" PRId64 ": found %s in column %s, expected %s%s", r->path, dt_table_line(table), text, c->name,
           expected, hint);
}

static dt_status refuse_missing(const reader *r, const dt_table *table, const column *c, const dt_cell *cell) {
  const bool input = c->use == NUMBER || c->use == WORDS;
  DT_RAISE(DT_DATA, "%s:%" PRId64 ": found no value in column %s (\"%.*s\"), expected %s; missing: skip leaves such rows out%s",
           r->path, dt_table_line(table), c->name, (int)cell->bytes, cell->text,
           c->words != NULL ? "one of its words" : "a number", input ? ", missing: mean puts the column's mean there" : "");
}

static dt_status read_number(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, double *out) {
  if (!dt_decimal_read(cell->text, cell->bytes, dt_csv_points[r->attr->decimal], out))
    return refuse(r, table, c, cell, "a number");
  if (fabs(*out) > FLT_MAX) return refuse(r, table, c, cell, "a number that a float can hold");
  return DT_OK;
}

/* The word's place in the list. Where no name of a list is a number, labels may also be numbers, counted from 0. */
static dt_status read_word(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, int64_t *out) {
  double number;
  *out = dt_csv_find(c->words, cell);
  if (*out >= 0) return DT_OK;
  if (c->use == LABEL && !dt_csv_any_number(c->words) && dt_decimal_read(cell->text, cell->bytes, '.', &number) &&
      number >= 0 && number < c->words->count && number == floor(number)) {
    *out = (int64_t)number;
    return DT_OK;
  }
  return refuse(r, table, c, cell, c->use == LABEL ? "a name of data.classes" : "one of its words in categories");
}

static dt_status read_label(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, int32_t *out) {
  double number;
  int64_t index;
  if (c->words != NULL) {
    DT_TRY(read_word(r, table, c, cell, &index));
    *out = (int32_t)index;
    return DT_OK;
  }
  const bool reads = dt_decimal_read(cell->text, cell->bytes, dt_csv_points[r->attr->decimal], &number);
  if (!reads || number < 0 || number > INT32_MAX || number != floor(number))
    return refuse(r, table, c, cell, "a whole number, from 0 on");
  *out = (int32_t)number;
  return DT_OK;
}

static dt_status read_target(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, float *out) {
  double number;
  int64_t index;
  if (c->words != NULL) {
    DT_TRY(read_word(r, table, c, cell, &index));
    number = (double)index;
  } else {
    DT_TRY(read_number(r, table, c, cell, &number));
  }
  *out = (float)(number * r->attr->target_scale);
  return DT_OK;
}

static dt_status read_weight(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, float *out) {
  double number;
  DT_TRY(read_number(r, table, c, cell, &number));
  *out = (float)number;
  return number >= 0 ? DT_OK : refuse(r, table, c, cell, "a weight, 0 or more");
}

static dt_status read_input(const reader *r, const dt_table *table, const column *c, const dt_cell *cell, bool missing,
                            float *out) {
  double number = NAN;
  int64_t index;
  if (c->words == NULL) {
    if (!missing) DT_TRY(read_number(r, table, c, cell, &number));
    out[c->at] = (float)number;
    return DT_OK;
  }
  for (int w = 0; w < c->words->count; w++) out[c->at + w] = missing ? NAN : 0;
  if (missing) return DT_OK;
  DT_TRY(read_word(r, table, c, cell, &index));
  out[c->at + index] = 1;
  return DT_OK;
}

static dt_status read_cell(reader *r, const dt_table *table, const column *c, const dt_cell *cell, int64_t row,
                           bool *out_skip) {
  const bool missing = dt_csv_is_missing(r->attr, cell);
  *out_skip = missing && r->attr->missing == CSV_SKIP;
  if (*out_skip) return DT_OK;
  if (missing && (r->attr->missing == CSV_FAIL || (c->use != NUMBER && c->use != WORDS)))
    return refuse_missing(r, table, c, cell);
  if (c->use == LABEL) return read_label(r, table, c, cell, &r->label[row]);
  if (c->use == WEIGHT) return read_weight(r, table, c, cell, &r->weight[row]);
  if (c->use == TARGET) return read_target(r, table, c, cell, &r->target[row * r->targets + c->at]);
  return read_input(r, table, c, cell, missing, &r->input[row * r->inputs]);
}

/* --- rows --- */

/* Room for one more row; where samples are only counted, each is read to the same place. */
static dt_status make_room(reader *r) {
  enum { FIRST = 1024 };
  if (r->count < r->capacity) return DT_OK;
  const int64_t capacity = r->capacity == 0 ? FIRST : r->capacity + r->capacity / 2;
  const struct {
    void **array;
    size_t row;
  } arrays[] = {{(void **)&r->input, (size_t)r->inputs * sizeof *r->input},
                {(void **)&r->target, (size_t)r->targets * sizeof *r->target},
                {(void **)&r->label, r->attr->label[0] != '\0' ? sizeof *r->label : 0},
                {(void **)&r->weight, r->attr->weight[0] != '\0' ? sizeof *r->weight : 0}};
  for (int i = 0; i < 4; i++) {
    if (arrays[i].row == 0) continue;
    DT_REQUIRE((size_t)capacity < SIZE_MAX / arrays[i].row, DT_MEMORY, "%s: found more rows than memory can hold", r->path);
    void *larger = realloc(*arrays[i].array, (size_t)capacity * arrays[i].row);
    DT_REQUIRE(larger != NULL, DT_MEMORY, "could not allocate %zu bytes for the rows of %s", (size_t)capacity * arrays[i].row,
               r->path);
    *arrays[i].array = larger;
  }
  r->capacity = capacity;
  return DT_OK;
}

/* The plain case of read_cell: a number of the input. */
static bool read_plain_number(const reader *r, const column *c, const dt_cell *cell, float *out) {
  double number;
  if (c->use != NUMBER || !r->marks_words ||
      !dt_decimal_read(cell->text, cell->bytes, dt_csv_points[r->attr->decimal], &number))
    return false;
  *out = (float)number;
  return fabs(number) <= FLT_MAX;
}

static dt_status read_row(reader *r, const dt_table *table, const dt_cell *cell, int64_t count) {
  bool skip = false;
  DT_REQUIRE(count == r->column_count, DT_DATA,
             "%s:%" PRId64 ": found %" PRId64 " cell%s, expected %" PRId64 ", as in the first line", r->path,
             dt_table_line(table), count, dt_plural(count), r->column_count);
  DT_TRY(make_room(r));
  const int64_t row = r->keep ? r->count : 0;
  for (int64_t c = 0; c < count && !skip; c++) {
    const column *of = &r->columns[c];
    if (of->use == UNUSED || read_plain_number(r, of, &cell[c], &r->input[row * r->inputs + of->at])) continue;
    DT_TRY(read_cell(r, table, of, &cell[c], row, &skip));
  }
  r->skipped += skip;
  r->count += !skip;
  if (!r->keep) r->capacity = r->count + 1;
  return DT_OK;
}

/* A first line without a number is one of names; that of rows' numbers is often left empty. */
static bool is_header(const reader *r, const dt_cell *cell, int64_t count) {
  double number;
  if (r->attr->header != CSV_AUTO) return r->attr->header == CSV_YES;
  for (int64_t c = 0; c < count; c++) {
    if (dt_csv_is_missing(r->attr, &cell[c]) && c == 0 && count > 1) continue;
    if (dt_csv_is_missing(r->attr, &cell[c]) ||
        dt_decimal_read(cell[c].text, cell[c].bytes, dt_csv_points[r->attr->decimal], &number))
      return false;
  }
  return true;
}

static dt_status check_header(const reader *r, const dt_cell *cell, int64_t count) {
  DT_REQUIRE(count == r->column_count, DT_DATA,
             "%s: found %" PRId64 " column%s, expected %" PRId64 ", as in the file before it", r->path, count, dt_plural(count),
             r->column_count);
  for (int64_t c = 0; c < count; c++) {
    char text[CELL_TEXT + 4];
    DT_REQUIRE(cell[c].bytes == 0 || dt_csv_is(&cell[c], r->columns[c].name), DT_DATA,
               "%s: found %s to name column %" PRId64 ", expected %s, as in the file before it", r->path,
               dt_csv_quote(&cell[c], text, CELL_TEXT), c + 1, r->columns[c].name);
  }
  return DT_OK;
}

static dt_status read_first(reader *r, dt_table *table, bool *out_row, const dt_cell **cell, int64_t *count) {
  DT_TRY(dt_table_next(table, cell, count));
  DT_REQUIRE(*count > 0, DT_DATA, "%s: found empty lines alone, expected a table", r->path);
  const bool header = is_header(r, *cell, *count);
  *out_row = !header;
  if (r->columns == NULL) return name_columns(r, *cell, *count, header);
  return header ? check_header(r, *cell, *count) : DT_OK;
}

static dt_status read_table(reader *r, dt_table *table, bool rows) {
  const dt_cell *cell;
  int64_t count;
  bool is_row = false;
  DT_TRY(read_first(r, table, &is_row, &cell, &count));
  if (!rows) return DT_OK;
  if (is_row) DT_TRY(read_row(r, table, cell, count));
  for (;;) {
    DT_TRY(dt_table_next(table, &cell, &count));
    if (count == 0) return DT_OK;
    DT_TRY(read_row(r, table, cell, count));
  }
}

static bool marks_are_words(const csv_attr *attr) {
  double number;
  for (int i = 0; i < attr->missing_marks.count; i++) {
    const char *mark = attr->missing_marks.value[i];
    if (dt_decimal_read(mark, strlen(mark), dt_csv_points[attr->decimal], &number)) return false;
  }
  return true;
}

/* Without `rows`, only the first line of the first file. */
static dt_status read_files(reader *r, bool rows) {
  const dt_strings *files = &r->attr->files;
  r->marks_words = marks_are_words(r->attr);
  for (int i = 0; i < files->count && (rows || i == 0); i++) {
    char *path;
    dt_table *table = NULL;
    DT_TRY(dt_source_find(r->request->dir, files->value[i], &path));
    r->path = path;
    dt_status status = dt_table_open(path, dt_csv_separators[r->attr->separator], dt_csv_points[r->attr->decimal], &table);
    if (status == DT_OK) status = read_table(r, table, rows);
    if (status == DT_OK && rows && r->count == 0 && i + 1 == files->count)
      status = dt_error_set(DT_DATA, __FILE__, __LINE__, "%s: found no rows%s, expected one or more", path,
                            r->skipped > 0 ? " without a missing value" : " below the names of the columns");
    dt_table_close(&table);
    free(path);
    DT_TRY(status);
  }
  return DT_OK;
}

static void reader_free(reader *r) {
  for (int64_t c = 0; c < r->column_count; c++) free(r->columns[c].name);
  free(r->columns);
  free(r->input);
  free(r->target);
  free(r->label);
  free(r->weight);
}

/* --- the format --- */

/* The input's length is known where the config names its columns. */
static int64_t declared_inputs(const csv_attr *attr) {
  int64_t inputs = 0;
  for (int i = 0; i < attr->columns.count; i++) {
    const char *name = attr->columns.value[i];
    const column_use use = use_of(attr, name);
    if (use == NUMBER || use == WORDS) inputs += width(words_of(attr, name));
  }
  return inputs;
}

static void csv_fields(const csv_attr *attr, int64_t inputs, dt_fields *out) {
  *out = (dt_fields){.field = {{.name = "input", .dtype = DT_F32, .shape = {1, {inputs}}}}, .count = 1};
  if (inputs == 0) out->field[0].shape.ndim = DT_NDIM_UNKNOWN;
  if (attr->label[0] != '\0') out->field[out->count++] = (dt_field){.name = "label", .dtype = DT_I32};
  if (attr->target.count > 0)
    out->field[out->count++] = (dt_field){.name = "target", .dtype = DT_F32, .shape = {1, {attr->target.count}}};
  if (attr->weight[0] != '\0') out->field[out->count++] = (dt_field){.name = "weight", .dtype = DT_F32};
}

static void csv_declare(const void *attr, dt_fields *out) {
  csv_fields(attr, declared_inputs(attr), out);
}

static dt_status csv_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  reader r = {.attr = attr, .request = request, .targets = ((const csv_attr *)attr)->target.count};
  const dt_status status = read_files(&r, whole);
  csv_fields(attr, r.inputs, &out->fields);
  out->count = whole ? r.count : -1;
  reader_free(&r);
  return status;
}

/* Of the input's numbers: the column's, or the column's with the word. */
static dt_status name_inputs(const reader *r, char **out) {
  size_t bytes;
  FILE *memory = open_memstream(out, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate the names of columns");
  for (int64_t c = 0; c < r->column_count; c++) {
    const column *of = &r->columns[c];
    if (of->use == NUMBER) fprintf(memory, "%s%c", of->name, '\0');
    for (int w = 0; of->use == WORDS && w < of->words->count; w++)
      fprintf(memory, "%s=%s%c", of->name, of->words->value[w], '\0');
  }
  DT_REQUIRE(fclose(memory) == 0, DT_MEMORY, "could not allocate the names of columns");
  return DT_OK;
}

static dt_status describe_source(const reader *r, dt_dataset *dataset) {
  const dt_strings *files = &r->attr->files;
  char *text = NULL;
  size_t bytes;
  FILE *memory = open_memstream(&text, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate the name of a data set");
  for (int i = 0; i < files->count; i++) {
    const bool rooted = files->value[i][0] == '/' || r->request->dir[0] == '\0';
    fprintf(memory, "%s%s%s%s", i > 0 ? ", " : "", rooted ? "" : r->request->dir, rooted ? "" : "/", files->value[i]);
  }
  fclose(memory);
  dataset->source = text;
  if (r->skipped == 0) return DT_OK;
  DT_TRY(dt_alloc(DT_NOTE_TEXT, 1, &dataset->note));
  snprintf(dataset->note, DT_NOTE_TEXT, "%" PRId64 " of %" PRId64 " rows lack a value and are left out", r->skipped,
           r->skipped + r->count);
  return DT_OK;
}

/* The arrays become the data set's. */
static dt_status hand_over(reader *r, dt_dataset **out) {
  dt_dataset *dataset;
  DT_TRY(dt_alloc(1, sizeof *dataset, &dataset));
  dataset->count = r->count;
  csv_fields(r->attr, r->inputs, &dataset->fields);
  dataset->data[0] = (dt_column){.values = r->input, .has_missing = r->attr->missing == CSV_MEAN};
  if (r->label != NULL) dataset->data[dt_dataset_find(dataset, "label")].values = r->label;
  if (r->target != NULL) dataset->data[dt_dataset_find(dataset, "target")].values = r->target;
  if (r->weight != NULL) dataset->data[dt_dataset_find(dataset, "weight")].values = r->weight;
  r->input = r->target = r->weight = NULL;
  r->label = NULL;
  dt_status status = describe_source(r, dataset);
  if (status == DT_OK) status = name_inputs(r, &dataset->data[0].names);
  if (status != DT_OK) dt_dataset_destroy(&dataset);
  *out = dataset;
  return status;
}

static dt_status csv_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  reader r = {.attr = attr, .request = request, .targets = ((const csv_attr *)attr)->target.count, .keep = true};
  dt_status status = read_files(&r, true);
  if (status == DT_OK) status = hand_over(&r, out);
  reader_free(&r);
  return status;
}

static const dt_format impl = {.declare = csv_declare, .inspect = csv_inspect, .load = csv_load};

const dt_kind dt_format_csv = {
    .name = "csv",
    .doc =
        "A table of text: CSV, TSV and the like, with or without a line of names. Columns make the field `input` in the order "
        "of the file.",
    .options = dt_csv_options,
    .attr_bytes = sizeof(csv_attr),
    .positional = "files",
    .impl = &impl,
    .check = dt_csv_check,
};
