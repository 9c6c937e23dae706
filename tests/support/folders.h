/* Folders within folders, for tests. */
#ifndef DT_TESTS_SUPPORT_FOLDERS_H
#define DT_TESTS_SUPPORT_FOLDERS_H

/* Removes a folder made by dt_test_dir_create and everything in it, following no link. */
void dt_test_tree_remove(const char *dir);
/* Entries of a folder but . and ..; -1 when it cannot be read. */
int dt_test_dir_count(const char *dir);

#endif
