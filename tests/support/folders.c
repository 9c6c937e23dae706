#include "support/folders.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
  remove(path);
  return 0;
}

void dt_test_tree_remove(const char *dir) {
  nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int dt_test_dir_count(const char *dir) {
  int count = 0;
  DIR *list = opendir(dir);
  if (list == NULL) return -1;
  for (struct dirent *entry; (entry = readdir(list)) != NULL;)
    count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
  closedir(list);
  return count;
}
