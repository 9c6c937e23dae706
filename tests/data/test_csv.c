/* Tables as people have them, and one of each way to be wrong. What is right stands beside each, written by hand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "data/sets.h"
#include "support/columns.h"
#include "support/files.h"
#include "support/unit.h"

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

/* A config whose training set is the table a.csv with these options, and b.csv of the same text where it is named. */
static dt_status parse(const char *options, const char *data, dt_config **out) {
  char text[8192];
  snprintf(text, sizeof text,
           "name: tables\ndata:\n  dir: %s\n  train: {csv: {files: a.csv%s%s}}\n%s"
           "model:\n  input: [1]\n  layers: [linear: 10]\n"
           "train: {global_batch: 8, epochs: 1}\noptimizer: sgd\nschedule: {lr: 0.1}\n",
           dir, options[0] != '\0' ? ", " : "", options, data);
  dt_error_clear();
  return dt_config_parse("c.yaml", text, strlen(text), NULL, 0, out);
}

static dt_status load_bytes(const char *options, const char *data, const char *table, size_t bytes, dt_dataset **out,
                            dt_dataset **eval) {
  dt_config *config = NULL;
  assert_int_equal(dt_test_write_file(dir, "a.csv", table, bytes), DT_OK);
  if (parse(options, data, &config) != DT_OK) fail_msg("%s", dt_error_text());
  const dt_status status = dt_sets_load(dt_config_spec(config), out, eval);
  if (status == DT_OK && eval == NULL) {
    dt_data_info whole;
    assert_int_equal(dt_set_inspect(dt_config_spec(config), DT_SET_TRAIN, true, &whole), DT_OK);
    assert_int_equal(whole.count, (*out)->count);
    for (int f = 0; f < whole.fields.count; f++) {
      assert_string_equal(whole.fields.field[f].name, (*out)->fields.field[f].name);
      assert_true(dt_shape_equal(&whole.fields.field[f].shape, &(*out)->fields.field[f].shape));
    }
  }
  dt_config_destroy(&config);
  return status;
}

static dt_status load(const char *options, const char *data, const char *table, dt_dataset **out) {
  return load_bytes(options, data, table, strlen(table), out, NULL);
}

/* --- Good tables. --- */

typedef struct good {
  const char *name, *options, *data, *table;
  int64_t rows, inputs;
  float input[12];
  int targets; /* 0: none, -1: labels */
  float target[4];
} good;

static const good goods[] = {
    {"names", "label: y", "", "a,b,y\n1,2,0\n3,4.5,1\n", 2, 2, {1, 2, 3, 4.5F}, -1, {0, 1}},
    {"no names", "label: 3", "", "1,2,0\n3,4.5,1\n", 2, 2, {1, 2, 3, 4.5F}, -1, {0, 1}},
    {"names of numbers", "{header: yes, label: 3}", "", "1,2,3\n5,6,0\n", 1, 2, {5, 6}, -1, {0}},
    {"words of names",
     "{header: no, label: 2, categories: {1: [p, e]}}",
     "  classes: [x, y]\n",
     "p,x\ne,y\n",
     2,
     2,
     {1, 0, 0, 1},
     -1,
     {0, 1}},
    {"semicolons", "", "", "1;2\n3;4\n", 2, 2, {1, 2, 3, 4}},
    {"tabs", "", "", "a\tb\n1\t2\n", 1, 2, {1, 2}},
    {"bars", "", "", "1|2\n", 1, 2, {1, 2}},
    {"decimal comma", "decimal: comma", "", "a;b\n1,5;-2,25\n", 1, 2, {1.5F, -2.25F}},
    {"decimal comma without names", "decimal: comma", "", "1,5;2,5;3,5\n4;5;6\n", 2, 3, {1.5F, 2.5F, 3.5F, 4, 5, 6}},
    {"said separator", "{separator: comma, ignore: 2}", "", "1,a;b;c\n2,d;e;f\n", 2, 1, {1, 2}},
    {"returns and line ends", "", "", "1,2\r\n3,4\r\n", 2, 2, {1, 2, 3, 4}},
    {"returns alone", "", "", "1,2\r3,4\r", 2, 2, {1, 2, 3, 4}},
    {"no last line end", "", "", "1,2\n3,4", 2, 2, {1, 2, 3, 4}},
    {"empty lines", "", "", "\n1,2\n\n\r\n3,4\n\n", 2, 2, {1, 2, 3, 4}},
    {"byte order mark",
     "label: a",
     "",
     "\xEF\xBB\xBF"
     "a,b\n1,2\n",
     1,
     1,
     {2},
     -1,
     {1}},
    {"blanks around", "label: y", "", "a , y\n 1\t, 0 \n", 1, 1, {1}, -1, {0}},
    {"quotes",
     "{label: \"the, y\", categories: {\"a \\\"b\\\"\": [\"x\\\"y\", \"p, q\"]}}",
     "",
     "\"a \"\"b\"\"\",\"the, y\"\n\"x\"\"y\",0\n\"p, q\",\"1\"\n",
     2,
     2,
     {1, 0, 0, 1},
     -1,
     {0, 1}},
    {"line end in quotes", "{label: y, ignore: a}", "", "a,b,y\n\"one\ntwo\",7,0\n\"=cmd()\",8,1\n", 2, 1, {7, 8}, -1, {0, 1}},
    {"forms of numbers", "", "", "+1,-2.5e1,.5,5.,1E2,0x\n", 1, 6, {1, -25, .5F, 5, 100}},
    {"tiny numbers", "", "", "1e-400,-1e-400,1e-46\n", 1, 3, {0, -0.0F, 0}},
    {"label names", "label: k", "  classes: [1, 2, 7]\n", "x,k\n1,7\n2,1\n3,2\n", 3, 1, {1, 2, 3}, -1, {2, 0, 1}},
    {"label numbers beside names",
     "label: k",
     "  classes: [cat, dog]\n",
     "x,k\n1,1\n2,0\n3,dog\n",
     3,
     1,
     {1, 2, 3},
     -1,
     {1, 0, 1}},
    {"targets", "target: [z, y]", "", "x,y,z\n1,2,3\n4,5,6\n", 2, 1, {1, 4}, 2, {3, 2, 6, 5}},
    {"targets of words", "{target: y, categories: {y: [no, yes]}}", "", "x,y\n1,yes\n4,no\n", 2, 1, {1, 4}, 1, {1, 0}},
    {"scaled targets", "{target: y, target_scale: 0.5}", "", "x,y\n1,3\n", 1, 1, {1}, 1, {1.5F}},
    {"weights are no input", "{label: y, weight: w}", "", "w,x,y\n0.5,1,0\n2,4,1\n", 2, 1, {1, 4}, -1, {0, 1}},
    {"chosen columns", "{columns: [c, a]}", "", "a,b,c\n1,q,3\n", 1, 2, {1, 3}},
    {"ignored columns", "{ignore: [id, name]}", "", "id,name,x\n9,w,1\n", 1, 1, {1}},
    {"left out", "missing: skip", "", "1,2\n?,4\n5,\n7,NA\n9,10\n", 2, 2, {1, 2, 9, 10}},
    {"not read, so not missing", "{missing: fail, ignore: 2}", "", "1,\n3,?\n", 2, 1, {1, 3}},
    {"a name left empty, as of a row's number", "ignore: 1", "", ",a,b\n0,1,2\n", 1, 2, {1, 2}},
    {"names left empty", "{header: yes, label: 2}", "", "a,\n5,1\n", 1, 1, {5}, -1, {1}},
    {"marks", "{missing: skip, missing_marks: \"-9\"}", "", "1,2\n-9,4\n5,6\n", 2, 2, {1, 2, 5, 6}},
};

static void check_input(const good *c, const dt_dataset *dataset) {
  const float *input = data_values(dataset, "input");
  assert_int_equal(data_field(dataset, "input")->dtype, DT_F32);
  if (dataset->count != c->rows) fail_msg("%s: %lld rows", c->name, (long long)dataset->count);
  if (dt_shape_count(&data_field(dataset, "input")->shape) != c->inputs) fail_msg("%s: another width", c->name);
  for (int64_t i = 0; i < c->rows * c->inputs; i++) {
    if (input[i] != c->input[i]) fail_msg("%s: number %lld is %g", c->name, (long long)i, (double)input[i]);
  }
}

static void check_targets(const good *c, const dt_dataset *dataset) {
  const int32_t *label = data_labels(dataset);
  const float *target = data_values(dataset, "target");
  assert_true((label != NULL) == (c->targets < 0));
  assert_true((target != NULL) == (c->targets > 0));
  for (int64_t i = 0; i < c->rows * abs(c->targets); i++) {
    const double found = label != NULL ? label[i] : target[i];
    if (found != c->target[i]) fail_msg("%s: target %lld is %g", c->name, (long long)i, found);
  }
}

static void test_good(void **state) {
  for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
    const good *c = &goods[i];
    dt_dataset *dataset = NULL;
    char options[512];
    /* Options in braces are several. */
    snprintf(options, sizeof options, "%s", c->options[0] == '{' ? c->options + 1 : c->options);
    if (c->options[0] == '{') options[strlen(options) - 1] = '\0';
    dt_status status = load(options, c->data, c->table, &dataset);
    if (strcmp(c->name, "forms of numbers") == 0) { /* its last cell is none */
      assert_int_equal(status, DT_DATA);
      assert_non_null(strstr(dt_error_text(), "a.csv:1: found \"0x\" in column 6, expected a number"));
      continue;
    }
    if (status != DT_OK) fail_msg("%s: %s", c->name, dt_error_text());
    check_input(c, dataset);
    check_targets(c, dataset);
    dt_dataset_destroy(&dataset);
  }
}

static void test_mean_of_what_is_there(void **state) {
  dt_dataset *dataset = NULL;
  double mean[3], std[3];
  assert_int_equal(load("missing: mean, categories: {c: [p, q]}", "", "a,c\n1,p\n,q\n5,?\n", &dataset), DT_OK);
  float *input = (float *)data_values(dataset, "input");
  assert_true(isnan(input[3]) && isnan(input[7]) && isnan(input[8]));
  dt_dataset_statistics(dataset, 0, mean, std);
  assert_true(mean[0] == 3 && std[0] == 2 && mean[1] == 0.5 && mean[2] == 0.5 && std[1] == 0.5);
  dt_dataset_fill(dataset, 0, mean);
  assert_true(input[3] == 3 && input[7] == 0.5F && input[8] == 0.5F && input[0] == 1);
  dt_dataset_destroy(&dataset);
  assert_int_equal(load("missing: mean, target: a", "", "a,b\n1,2\n,3\n", &dataset), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "a.csv:3: found no value in column a"));
}

/* Rows that begin, end and are cut wherever a buffer ends, in quotes and at line ends of two bytes: the same table in files of
 * growing size. */
static void test_any_border(void **state) {
  enum { BUFFER = 1 << 20, ROW = 26, SPAN = 64 };
  const int rows = BUFFER / ROW + 3;
  char *table = malloc((size_t)BUFFER + 4096);
  for (int shift = 0; shift < SPAN; shift++) {
    dt_dataset *dataset = NULL;
    size_t used = (size_t)sprintf(table, "%0*d,\"x\",\"a \"\"b\"\" c\"\r\n", shift + 1, 7);
    for (int i = 1; i < rows; i++) used += (size_t)sprintf(table + used, "%06d,\"x\",\"a \"\"b\"\" c\"\r\n", i);
    const dt_status status = load_bytes("categories: {2: [y, x], 3: ['a \"b\" c']}", "", table, used, &dataset, NULL);
    if (status != DT_OK) fail_msg("shift %d: %s", shift, dt_error_text());
    assert_int_equal(dataset->count, rows);
    const float *input = data_values(dataset, "input");
    for (int i = 0; i < rows; i++) {
      assert_true(input[4 * i] == (float)(i == 0 ? 7 : i));
      assert_true(input[4 * i + 1] == 0 && input[4 * i + 2] == 1 && input[4 * i + 3] == 1);
    }
    dt_dataset_destroy(&dataset);
  }
  free(table);
}

static void test_files_in_order_and_packed(void **state) {
  dt_dataset *one = NULL, *two = NULL;
  static const char b[] = "x,y\n3,1\n", other[] = "x,z\n3,1\n", narrow[] = "x\n3\n";
  assert_int_equal(load("label: y", "", "x,y\n1,0\n2,1\n3,1\n", &one), DT_OK);
  assert_int_equal(dt_test_write_gzip(dir, "b.csv.gz", b, sizeof b - 1), DT_OK);
  assert_int_equal(dt_test_write_file(dir, "a.csv", "x,y\n1,0\n2,1\n", 12), DT_OK);
  dt_config *config;
  char text[2048];
  snprintf(
      text, sizeof text,
      "name: t\ndata: {dir: %s, train: {csv: {files: [a.csv, b.csv], label: y}}}\nmodel: {input: [1], layers: [linear: 2]}\n"
      "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\n",
      dir);
  if (dt_config_parse("c.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  assert_int_equal(dt_sets_load(dt_config_spec(config), &two, NULL), DT_OK);
  assert_int_equal(two->hash, one->hash);
  dt_dataset_destroy(&two);
  assert_int_equal(dt_test_write_gzip(dir, "b.csv.gz", other, sizeof other - 1), DT_OK);
  assert_int_equal(dt_sets_load(dt_config_spec(config), &two, NULL), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "b.csv.gz: found \"z\" to name column 2, expected y, as in the file before it"));
  dt_error_clear();
  assert_int_equal(dt_test_write_gzip(dir, "b.csv.gz", narrow, sizeof narrow - 1), DT_OK);
  assert_int_equal(dt_sets_load(dt_config_spec(config), &two, NULL), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "b.csv.gz: found 1 column, expected 2, as in the file before it"));
  dt_dataset_destroy(&one);
  dt_config_destroy(&config);
}

/* --- Bad tables. --- */

typedef struct bad {
  const char *options, *data, *table;
  const char *fragments[4];
} bad;

static const bad bads[] = {
    {"label: y", "", "", {"a.csv: found an empty file, expected a table"}},
    {"label: y", "", "\n\n\n", {"a.csv: found empty lines alone"}},
    {"", "", "a,b\n", {"a.csv: found no rows below the names of the columns, expected one or more"}},
    {"missing: skip", "", "1,?\n?,2\n", {"a.csv: found no rows without a missing value"}},
    {"label: y", "", "x,y\n1,0\n1,0,5\n", {"a.csv:3: found 3 cells, expected 2, as in the first line"}},
    {"label: y", "", "x,y\n1,0\n1\n", {"a.csv:3: found 1 cell, expected 2"}},
    {"label: y",
     "",
     "x,y\n1,0\nten,1\n",
     {"a.csv:3: found \"ten\" in column x, expected a number", "categories: {x: [1, ten]}"}},
    {"label: y", "", "x,y\nred,0\n#1,1\n", {"a.csv:2: found \"red\" in column x", "categories: {x: [\"#1\", red]}"}},
    {"label: y",
     "",
     "x,y\n1,a\n2,c\n1,b\n",
     {"a.csv:2: found \"a\" in column y, expected a whole number, from 0 on", "classes: [a, b, c]"}},
    {"label: y", "", "x,y\n1,10\n2,-1\n3,2\n", {"a.csv:3: found \"-1\" in column y", "classes: [-1, 2, 10]"}},
    {"label: y", "", "x,y\n1,1.5\n", {"a.csv:2: found \"1.5\" in column y, expected a whole number"}},
    {"label: y", "", "x,y\n1,99999999999\n", {"a.csv:2: found \"99999999999\" in column y"}},
    {"label: y", "  classes: [a, b]\n", "x,y\n1,c\n", {"a.csv:2: found \"c\" in column y, expected a name of data.classes"}},
    {"label: y", "  classes: [a, b]\n", "x,y\n1,2\n", {"a.csv:2: found \"2\" in column y, expected a name of data.classes"}},
    {"label: y", "  classes: [1, 2]\n", "x,y\n1,0\n", {"a.csv:2: found \"0\" in column y, expected a name of data.classes"}},
    {"label: y, categories: {x: [a, b]}",
     "",
     "x,y\nc,0\n",
     {"a.csv:2: found \"c\" in column x, expected one of its words in categories"}},
    {"label: y",
     "",
     "x,y\n,0\n",
     {"a.csv:2: found no value in column x (\"\"), expected a number", "missing: skip", "missing: mean"}},
    {"", "", "a\n\"say \"\"a\"\"\"\n", {"a.csv:2: found", "categories: {a: [\"say \\\"a\\\"\"]}"}},
    {"weight: x", "", "x,y\n-1,0\n", {"a.csv:2: found \"-1\" in column x, expected a weight, 0 or more"}},
    {"weight: x", "", "x,y\n?,0\n", {"a.csv:2: found no value in column x"}},
    {"label: y", "", "x,y\n1,nan\n", {"a.csv:2: found no value in column y (\"nan\")", "missing: skip"}},
    {"label: y", "", "x,y\ninf,0\n", {"a.csv:2: found \"inf\" in column x, expected a number"}},
    {"label: y", "", "x,y\n1e309,0\n", {"a.csv:2: found \"1e309\" in column x, expected a number that a float can hold"}},
    {"label: y", "", "x,y\n-1e39,0\n", {"a.csv:2: found \"-1e39\" in column x, expected a number that a float can hold"}},
    {"label: y", "", "x,y\n0x10,0\n", {"a.csv:2: found \"0x10\" in column x, expected a number"}},
    {"label: y", "", "x;y\n1,5;0\n", {"a.csv:2: found \"1,5\" in column x, expected a number"}},
    {"label: z", "", "x,y\n1,0\n", {"a.csv: found no column z, which label names, expected one of x, y"}},
    {"label: 3", "", "a,b,c\nd,e,f\n", {"found no column 3", "header: no takes the first line as a row"}},
    {"ignore: q", "", "x,y\n1,0\n", {"found no column q, which ignore names"}},
    {"target: q", "", "x,y\n1,0\n", {"found no column q, which target names"}},
    {"columns: q", "", "x,y\n1,0\n", {"found no column q, which columns names"}},
    {"categories: {q: [a]}", "", "x,y\n1,0\n", {"found no column q, which categories names"}},
    {"label: x", "", "x,x\n1,0\n", {"found more than one column x, which label names"}},
    {"label: x", "", "x\n1\n", {"found no column for the input"}},
    {"label: y", "", "x,y\n\"1,0\n2,0\n", {"a.csv:2: found a quote that does not close"}},
    {"label: y", "", "x,y\n1,0\n\"1\"2,0\n", {"a.csv:3: found a quote that does not close before the separator"}},
    {"label: y", "", "x,y\n1,\x1b[31m\n", {"a.csv:2: found \"\\x1b[31m\" in column y"}},
    {"label: y", "", "\xFF\xFEx\n", {"a.csv: found UTF-16, expected text in UTF-8"}},
    {"label: y",
     "  split: 0.5\n",
     "x,y\n1,0\n",
     {"data.split: found 0.5 of 1 samples, which is 1, expected one or more in each part"}},
};

static void test_bad(void **state) {
  for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
    dt_dataset *dataset = NULL, *eval = NULL;
    const dt_status status = load_bytes(bads[i].options, bads[i].data, bads[i].table, strlen(bads[i].table), &dataset, &eval);
    if (status != DT_DATA && status != DT_USAGE) fail_msg("\"%s\": status %s", bads[i].table, dt_status_name(status));
    for (int f = 0; f < 4 && bads[i].fragments[f] != NULL; f++) {
      if (strstr(dt_error_text(), bads[i].fragments[f]) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", dt_error_text(), bads[i].fragments[f]);
    }
    if (strchr(dt_error_text(), '\n') != NULL) fail_msg("\"%s\" has several lines", dt_error_text());
    assert_null(dataset);
    assert_null(eval);
  }
}

static void test_zero_byte(void **state) {
  dt_dataset *dataset = NULL;
  static const char table[] = "x,y\n1,0\n1\0,0\n";
  assert_int_equal(load_bytes("label: y", "", table, sizeof table - 1, &dataset, NULL), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "a.csv:3: found a byte of value 0, expected text"));
}

/* An open quote of a great file takes a buffer of bounded size; a million columns and a cell of 10 MB are read. */
static void test_great_records(void **state) {
  enum { MANY = 1000000, GREAT = 80 << 20 };
  char *table = malloc(GREAT);
  dt_dataset *dataset = NULL;
  size_t used = 0;
  for (int i = 0; i < MANY; i++) used += (size_t)sprintf(table + used, "%s%d", i > 0 ? "," : "", i % 10);
  assert_int_equal(load_bytes("", "", table, used, &dataset, NULL), DT_OK);
  assert_int_equal(dt_shape_count(&data_field(dataset, "input")->shape), MANY);
  assert_true(((const float *)data_values(dataset, "input"))[MANY - 1] == 9);
  dt_dataset_destroy(&dataset);
  memset(table, 'q', GREAT);
  memcpy(table, "1,", 2);
  assert_int_equal(load_bytes("ignore: 2", "", table, 10 << 20, &dataset, NULL), DT_OK);
  dt_dataset_destroy(&dataset);
  memcpy(table, "1,\"", 3);
  assert_int_equal(load_bytes("ignore: 2", "", table, GREAT, &dataset, NULL), DT_DATA);
  assert_non_null(
      strstr(dt_error_text(), "a.csv:1: found a record of more than 67108864 bytes, expected its end; a quote may be left"));
  free(table);
}

/* --- What the config can say. --- */

static void refuse_config(const char *options, const char *data, const char *fragment) {
  dt_config *config = NULL;
  assert_int_equal(parse(options, data, &config), DT_USAGE);
  if (strstr(dt_error_text(), fragment) == NULL) fail_msg("\"%s\" lacks \"%s\"", dt_error_text(), fragment);
  assert_null(config);
}

static void test_config(void **state) {
  refuse_config("label: y, target: y", "", "found column y as label and target, expected one use");
  refuse_config("label: y, categories: {y: [a]}", "", "categories: found y, which is the label; data.classes names its words");
  refuse_config("target: [y, y]", "", "target: found y twice, expected every column once");
  refuse_config("columns: [y, z, y]", "", "columns: found y twice, expected every column once");
  refuse_config("target: w, weight: w", "", "found column w as weight and target, expected one use");
  refuse_config("target_scale: 0", "", "target_scale: found 0, expected another number");
  refuse_config("separator: ','", "", "expected auto, comma, semicolon, tab or bar");
  refuse_config("", "  split: 1\n", "data.split.fraction: found \"1\", expected a decimal number");
  refuse_config("", "  split: 0.5\n  eval: {csv: a.csv}\n", "data.split: found beside data.eval, expected one of them");
}

/* The length of the input is known before a file is opened where the config names the columns. */
static void test_declares(void **state) {
  dt_config *config = NULL;
  dt_fields fields;
  assert_int_equal(parse("columns: [a, b, c], label: c, categories: {b: [p, q, r]}, target: [t, u]", "", &config), DT_OK);
  const dt_choice *train = &dt_config_spec(config)->data.train;
  ((const dt_format *)train->kind->impl)->declare(train->attr, &fields);
  assert_int_equal(fields.count, 3);
  assert_int_equal(fields.field[0].shape.dim[0], 4);
  assert_int_equal(fields.field[2].shape.dim[0], 2);
  dt_config_destroy(&config);
  assert_int_equal(parse("label: c", "", &config), DT_OK);
  const dt_choice *unknown = &dt_config_spec(config)->data.train;
  ((const dt_format *)unknown->kind->impl)->declare(unknown->attr, &fields);
  assert_int_equal(fields.field[0].shape.ndim, DT_NDIM_UNKNOWN);
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),          cmocka_unit_test(test_mean_of_what_is_there),
      cmocka_unit_test(test_any_border),    cmocka_unit_test(test_files_in_order_and_packed),
      cmocka_unit_test(test_bad),           cmocka_unit_test(test_zero_byte),
      cmocka_unit_test(test_great_records), cmocka_unit_test(test_config),
      cmocka_unit_test(test_declares),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
