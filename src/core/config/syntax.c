/* What is wrong with the syntax of a config, in our words. The YAML library says at which character its grammar ended; what a
 * user wants to know is what stands in the line. */
#include <stdio.h>
#include <string.h>

#include "core/config/internal.h"

enum { QUOTED = 40 };

/* The library's words, and ours. The first row whose phrase occurs counts. */
static const struct {
  const char *phrase;
  bool look; /* what stands in the line may tell more */
  const char *text;
} phrases[] = {
    {"tab ", false, "found a tab in the indentation, expected spaces"},
    {"used tabs", false, "found a tab in the indentation, expected spaces"},
    {"could not find expected ':'", true, "found text without a colon, expected \"key: value\""},
    {"missing ':'", true, "found text without a colon, expected \"key: value\""},
    {"invalid multiline plain", true,
     "found a value that goes on in the next line as a key, expected keys of one map in one column"},
    {"invalid scalar at the end of block sequence", true,
     "found a key among the items of a list, expected \"- \" before it, or the indentation of the map that it belongs to"},
    {"did not find expected key", true, "found a line that is no key, expected \"key: value\""},
    {"did not find expected '-'", true, "found a line that is no item, expected \"- \" and an item"},
    {"invalid value after mapping", true, "found text behind a value, expected the end of the line"},
    {"missing document start", true, "found text behind the config's only value, expected a map of keys, \"key: value\""},
    {"indendation in sequence", false, "found an item indented less than its list, expected the column of the items above"},
    {"wrongly indented sequence item", false,
     "found an item indented less than its list, expected the column of the items above"},
    {"invalid indentation in mapping", false,
     "found a key in a column where no map has its keys, expected the column of one above"},
    {"nested block mapping", false,
     "found a second colon in a line, expected one \"key: value\"; text with \": \" in it is quoted"},
    {"same line as previous key", false, "found a second key in a line, expected one \"key: value\" a line"},
    {"same line as a mapping key", false, "found a list item behind a key, expected it in the next line, indented"},
    {"same line as a previous item", false, "found a list item behind another, expected it in a line of its own"},
    {"block sequence entries not allowed", false, "found a list item where none can be, expected it in a line of its own"},
    {"wrongly indented block sequence", false, "found \"- \" within brackets, expected items between commas"},
    {"missing comma", false, "found two items without a comma between them, expected one"},
    {"comma in the beginning", false, "found a comma without an item before it, expected an item"},
    {"extra comma", false, "found two commas without an item between them, expected an item"},
    {"extra closing", false, "found a closing bracket that nothing opened, expected none"},
    {"mismatched flow", false, "found a closing bracket of the other kind, expected the one that closes what was opened last"},
    {"trailing content after", false, "found text behind a closing quote, expected the end of the value"},
    {"cannot start with", false,
     "found a value that begins with a character that YAML keeps for itself, expected it in quotes"},
    {"invalid anchor", false, "found \"&\" without a name, expected no anchors; a value that begins with it is quoted"},
    {"invalid alias", false, "found \"*\" without a name, expected no aliases; a value that begins with it is quoted"},
    {"anchor", false, "found an anchor (&), expected plain YAML without anchors, aliases and tags"},
    {"alias", false, "found an alias (*), expected plain YAML without anchors, aliases and tags"},
    {"tag", false, "found a tag (!), expected plain YAML without anchors, aliases and tags"},
    {"invalid escape", false,
     "found a backslash that begins no escape of YAML, expected \\\\ for a backslash, or single quotes"},
    {"hex escape", false, "found an escape without its hexadecimal digits, expected \\x and two of them, or single quotes"},
    {"UTF8 escape", false, "found an escape that is no character, expected one of Unicode's"},
    {"without closing quote", false, "found an opening quote without its closing one, expected it in the same line"},
    {"wrongly indented double-quoted", false, "found an opening quote without its closing one, expected it in the same line"},
    {"wrongly indented single-quoted", false, "found an opening quote without its closing one, expected it in the same line"},
    {"comment without whitespace", false, "found # right behind a value, expected a space before a comment"},
    {"-quoted scalar", false, "found quoted text that goes on in the next line, expected it in one line"},
    {"block scalar", false, "found text of several lines (| or >), expected a value in one line"},
    {"directive", false, "found a directive (%), expected keys"},
    {"flow", true, "found brackets that are not closed, or lines within them that are not indented, expected both"},
    {"indent", false, "found a line whose indentation fits no line above, expected the column of one"},
};

static bool is_blank(char c) {
  return c == ' ' || c == '\0';
}

/* Position of the first colon outside quotes, -1 without one. */
static int find_colon(const char *line) {
  char quote = '\0';
  for (int i = 0; line[i] != '\0'; i++) {
    if (quote != '\0')
      quote = line[i] == quote ? '\0' : quote;
    else if (line[i] == '"' || line[i] == '\'')
      quote = line[i];
    else if (line[i] == ':')
      return i;
  }
  return -1;
}

/* What is wrong with a line that holds one key or item (without its indentation); NULL when nothing is seen. */
static const char *look_at(const char *line, bool in_map, char *text, size_t bytes) {
  int colon = find_colon(line), word = (int)strcspn(line, " =");
  if (line[0] == '-' && !is_blank(line[1]) && line[1] != '-')
    snprintf(text, bytes, "found \"%.*s\", expected a space behind the dash", QUOTED, line);
  else if (line[0] == '-' && in_map)
    snprintf(text, bytes, "found a list item among keys, expected \"key: value\", or the item in the column of its list");
  else if (line[0] == '-')
    return NULL;
  else if (colon >= 0 && !is_blank(line[colon + 1]) && strncmp(line + colon, "://", 3) != 0)
    snprintf(text, bytes, "found \"%.*s\", expected a space behind the colon", QUOTED, line);
  else if (colon < 0 && line[word + strspn(line + word, " ")] == '=')
    snprintf(text, bytes, "found \"%.*s\", expected a colon: \"%.*s: ...\"", QUOTED, line, word, line);
  else if (colon < 0)
    snprintf(text, bytes, "found \"%.*s\", expected \"key: value\"", QUOTED, line);
  else
    return NULL;
  return text;
}

const char *dt_syntax_text(const dt_config_text *source, int line, const char *said, char *text, size_t bytes) {
  const char *start;
  size_t length;
  char copy[256] = "";
  if (dt_config_text_line(source, line, &start, &length)) {
    while (length > 0 && *start == ' ') start++, length--;
    snprintf(copy, sizeof copy, "%.*s", (int)(length < sizeof copy ? length : sizeof copy - 1), start);
  }
  for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++) {
    if (strstr(said, phrases[i].phrase) == NULL) continue;
    bool in_map = strstr(said, "expected key") != NULL;
    if (phrases[i].look && copy[0] != '\0' && look_at(copy, in_map, text, bytes) != NULL) return text;
    snprintf(text, bytes, "%s", phrases[i].text);
    return text;
  }
  snprintf(text, bytes, "found text that the YAML library refuses (%.200s), expected YAML", said);
  return text;
}
