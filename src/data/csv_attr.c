#include "data/csv_attr.h"

#include <math.h>
#include <string.h>

#include "core/config/rows.h"

#define AT(field) offsetof(csv_attr, field)

static const char *const separators[] = {"auto", "comma", "semicolon", "tab", "bar", NULL};
const char dt_csv_separators[] = {'\0', ',', ';', '\t', '|'};
const char dt_csv_points[] = {'.', ','};
static const char *const header_words[] = {"auto", "yes", "no", NULL};
static const char *const decimal_words[] = {"point", "comma", NULL};
static const char *const missing_words[] = {"fail", "skip", "mean", NULL};

static const dt_option category_options[] = {
    DT_ROW_STRINGS("words", 0, NULL, "The words that the column may hold, in the order of their numbers."),
    {0},
};
static const dt_option categories_options[] = {
    DT_ROW_OTHERS("*", 0, category_options, sizeof(dt_strings), "Of a column, by its name: `sex: [F, I, M]`.",
                  .positional = "words"),
    {0},
};

const dt_option dt_csv_options[] = {
    DT_ROW_STRINGS("files", AT(files), NULL, "Files, in order; plain or gzip, found with or without .gz.",
                   .path = DT_PATH_PLAIN),
    DT_ROW_STRING("label", AT(label), "",
                  "Column of the class, which makes the field `label`: a whole number from 0 on, or a name of data.classes."),
    DT_ROW_STRINGS("target", AT(target), "",
                   "Columns of numbers to predict, in this order, which make the field `target`: what mse, huber and "
                   "binary_cross_entropy compare with."),
    DT_ROW_STRING("weight", AT(weight), "",
                  "Column of the weights by which data.sampling: weighted draws samples; it makes the field `weight`."),
    DT_ROW_REAL("target_scale", AT(target_scale), "1", -INFINITY, INFINITY,
                "What numbers of target are multiplied by: 0.00001 brings prices of 100000 near 1, where training is well "
                "conditioned. Metrics and predictions are of the product."),
    DT_ROW_STRINGS("columns", AT(columns), "",
                   "Columns of the input; without it, all but label, target and ignore. In the order of the file in any case."),
    DT_ROW_STRINGS("ignore", AT(ignore), "", "Columns that are not read, as a row's number or name."),
    DT_ROW_MAP(
        "categories", AT(categories), categories_options,
        "Columns of words. In the input each word has a number of its own, 1 where the cell holds it and 0 elsewhere; in "
        "target a word is its place in the list, from 0 on.",
        .default_text = ""),
    DT_ROW_ENUM(
        "missing", AT(missing), "fail", missing_words,
        "What becomes of a row in which a column that is read holds no value: an error; it is left out, and counted; or, "
        "in the input, the column's mean over the training set takes the place (0 after normalisation)."),
    DT_ROW_STRINGS("missing_marks", AT(missing_marks), "",
                   "What stands for no value, besides an empty cell; without it ?, NA, N/A, nan, NaN, NULL and null."),
    DT_ROW_ENUM(
        "header", AT(header), "auto", header_words,
        "Whether the first line names the columns, which are named 1, 2, 3 ... otherwise, and where a name is empty; auto: "
        "where none of its cells is a number, or empty but for the first."),
    DT_ROW_ENUM("separator", AT(separator), "auto", separators,
                "What stands between cells; auto: whichever the first line has most of."),
    DT_ROW_ENUM("decimal", AT(decimal), "point", decimal_words, "What stands before the fraction of a number."),
    {0},
};

static dt_status check_once(const char *option, const dt_strings *names) {
  for (int i = 1; i < names->count; i++) {
    for (int j = 0; j < i; j++)
      DT_REQUIRE(strcmp(names->value[i], names->value[j]) != 0, DT_USAGE, "%s: found %.60s twice, expected every column once",
                 option, names->value[i]);
  }
  return DT_OK;
}

dt_status dt_csv_check(const void *attr) {
  const csv_attr *csv = attr;
  DT_REQUIRE(csv->files.count > 0, DT_USAGE, "found an empty list of files, expected one or more");
  DT_REQUIRE(csv->target_scale != 0, DT_USAGE, "target_scale: found 0, expected another number");
  DT_TRY(check_once("target", &csv->target));
  DT_TRY(check_once("columns", &csv->columns));
  for (int t = 0; t < csv->target.count; t++) {
    DT_REQUIRE(csv->weight[0] == '\0' || strcmp(csv->target.value[t], csv->weight) != 0, DT_USAGE,
               "found column %.60s as weight and target, expected one use", csv->weight);
    DT_REQUIRE(strcmp(csv->target.value[t], csv->label) != 0, DT_USAGE,
               "found column %.60s as label and target, expected one use", csv->label);
  }
  DT_REQUIRE(csv->weight[0] == '\0' || strcmp(csv->weight, csv->label) != 0, DT_USAGE,
             "found column %.60s as label and weight, expected one use", csv->label);
  for (int i = 0; i < csv->categories.count; i++) {
    const dt_strings *words = csv->categories.item[i].value;
    DT_REQUIRE(strcmp(csv->categories.item[i].name, csv->label) != 0, DT_USAGE,
               "categories: found %.60s, which is the label; data.classes names its words", csv->label);
    DT_REQUIRE(words->count > 0, DT_USAGE, "categories.%.60s: found no words, expected one or more",
               csv->categories.item[i].name);
  }
  return DT_OK;
}
