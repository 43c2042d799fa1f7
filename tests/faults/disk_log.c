/* Loaded into a process before the C library (LD_PRELOAD), this writes down what the process does to
   the files of the folder DISK_LOG_FOLDER, in order, into the file DISK_LOG. One record:

     op (1 byte), offset or length (int64), size of data (uint32), size of path (uint32), path, data

   W write, T truncate, S sync, U unlink, M mark. disk_log.py reads it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;

#define REAL(result, name, ...) \
  static result (*real)(__VA_ARGS__); \
  if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t raw_write(int fd, const void *data, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return real(fd, data, size);
}

static int watched(const char *path) {
  const char *folder = getenv("DISK_LOG_FOLDER");
  return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, 1000);
  if (size < 0) return 0;
  path[size] = 0;
  return watched(path);
}

static void record(char op, const char *path, int64_t at, const void *data, uint32_t size) {
  char head[17];
  uint32_t path_size = strlen(path);
  pthread_mutex_lock(&order);
  if (out < 0) out = open(getenv("DISK_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0644);
  head[0] = op;
  memcpy(head + 1, &at, 8);
  memcpy(head + 9, &size, 4);
  memcpy(head + 13, &path_size, 4);
  if (raw_write(out, head, 17) < 0 || raw_write(out, path, path_size) < 0 ||
      (size && raw_write(out, data, size) < 0))
    abort();
  pthread_mutex_unlock(&order);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  ssize_t done = real(fd, data, size, at);
  char path[1024];
  if (done > 0 && path_of(fd, path)) record('W', path, at, data, done);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size) {
  char path[1024];
  if (fd == out || !path_of(fd, path)) return raw_write(fd, data, size);
  off_t at = lseek(fd, 0, SEEK_CUR);
  ssize_t done = raw_write(fd, data, size);
  if (done > 0) record('W', path, at, data, done);
  return done;
}

int ftruncate64(int fd, off64_t size) {
  REAL(int, "ftruncate64", int, off64_t);
  int failed = real(fd, size);
  char path[1024];
  if (!failed && path_of(fd, path)) record('T', path, size, NULL, 0);
  return failed;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
  REAL(int, "fsync", int);
  int failed = real(fd);
  char path[1024];
  if (!failed && path_of(fd, path)) record('S', path, 0, NULL, 0);
  return failed;
}

int fdatasync(int fd) {
  REAL(int, "fdatasync", int);
  int failed = real(fd);
  char path[1024];
  if (!failed && path_of(fd, path)) record('S', path, 0, NULL, 0);
  return failed;
}

int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  int failed = real(path);
  if (!failed && watched(path)) record('U', path, 0, NULL, 0);
  return failed;
}

void disk_log_mark(int64_t number) { record('M', "", number, NULL, 0); }
