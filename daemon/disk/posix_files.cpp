// The seam over openat() and friends: every path is below one descriptor of the store's directory.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "disk/files.hpp"

namespace onced::disk {
namespace {

Error error_of(int number, const std::string& action, const std::string& path) {
  return Error{number == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable,
               "cannot " + action + " " + path + ": " + std::generic_category().message(number)};
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

class PosixFile final : public File {
 public:
  PosixFile(Descriptor descriptor, std::string path, bool only_reads)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), only_reads_(only_reads) {}

  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) const override {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t n = ::pread(descriptor_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return error_of(errno, "read", path_);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }
  Result<void> write(std::span<const std::byte> bytes, std::uint64_t offset) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::pwrite(descriptor_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return error_of(n < 0 ? errno : ENOSPC, "write", path_);
      done += static_cast<std::size_t>(n);
    }
    return {};
  }
  Result<void> sync() override {
    if (::fdatasync(descriptor_.get()) != 0) return error_of(errno, "sync", path_);
    return {};
  }
  Result<void> truncate(std::uint64_t size) override {
    if (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) return error_of(errno, "cut", path_);
    return {};
  }
  Result<std::uint64_t> size() const override {
    struct stat status {};
    if (::fstat(descriptor_.get(), &status) != 0) return error_of(errno, "look at", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }
  int release_descriptor() override { return only_reads_ ? descriptor_.release() : -1; }

 private:
  Descriptor descriptor_;
  std::string path_;
  bool only_reads_;
};

class PosixLock final : public Lock {
 public:
  explicit PosixLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;
};

class PosixFileSystem final : public FileSystem {
 public:
  PosixFileSystem(Descriptor directory, std::string name) : directory_(std::move(directory)), name_(std::move(name)) {}

  Result<Status> status(const std::string& path) const override {
    struct stat found {};
    const int failed = path.empty() ? ::fstat(directory_.get(), &found)
                                    : ::fstatat(directory_.get(), path.c_str(), &found, AT_SYMLINK_NOFOLLOW);
    if (failed != 0) return error_of(errno, "look at", whole(path));
    Status status;
    status.kind = S_ISREG(found.st_mode) ? Kind::file : S_ISDIR(found.st_mode) ? Kind::directory : Kind::other;
    status.mode = found.st_mode & 07777U;
    status.own = found.st_uid == ::geteuid();
    status.bytes = static_cast<std::uint64_t>(found.st_size);
    return status;
  }

  Result<std::vector<std::string>> list(const std::string& directory) const override {
    Descriptor opened = open_directory(directory);
    if (opened.get() < 0) return error_of(errno, "list", whole(directory));
    DIR* stream = ::fdopendir(opened.get());
    if (stream == nullptr) return error_of(errno, "list", whole(directory));
    opened.release();  // the stream's
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    const int number = errno;
    ::closedir(stream);
    if (number != 0) return error_of(number, "list", whole(directory));
    return names;
  }

  Result<std::unique_ptr<File>> open(const std::string& path, bool writable) override {
    return file(path, writable ? O_RDWR : O_RDONLY, "open");
  }
  Result<std::unique_ptr<File>> create(const std::string& path) override { return file(path, O_RDWR | O_CREAT | O_TRUNC, "create"); }

  Result<void> make_directory(const std::string& path) override {
    if (::mkdirat(directory_.get(), path.c_str(), 0700) != 0 && errno != EEXIST) return error_of(errno, "make", whole(path));
    return {};
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::renameat(directory_.get(), from.c_str(), directory_.get(), to.c_str()) != 0) return error_of(errno, "rename", whole(from));
    return {};
  }
  Result<void> remove(const std::string& path) override {
    if (::unlinkat(directory_.get(), path.c_str(), 0) == 0) return {};
    if (errno == EISDIR && ::unlinkat(directory_.get(), path.c_str(), AT_REMOVEDIR) == 0) return {};
    return error_of(errno, "remove", whole(path));
  }
  Result<void> sync_directory(const std::string& path) override {
    const Descriptor opened = open_directory(path);
    if (opened.get() < 0) return error_of(errno, "open", whole(path));
    if (::fsync(opened.get()) != 0) return error_of(errno, "sync", whole(path));
    return {};
  }
  Result<std::unique_ptr<Lock>> lock(const std::string& path) override {
    Descriptor opened(::openat(directory_.get(), path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (opened.get() < 0) return error_of(errno, "open", whole(path));
    if (::flock(opened.get(), LOCK_EX | LOCK_NB) == 0) return std::unique_ptr<Lock>(std::make_unique<PosixLock>(std::move(opened)));
    if (errno != EWOULDBLOCK) return error_of(errno, "lock", whole(path));
    return Error{ErrorCode::limit_reached, "the directory is in use by another daemon: give each its own"};
  }

 private:
  std::string whole(const std::string& path) const { return path.empty() ? name_ : name_ + "/" + path; }
  Descriptor open_directory(const std::string& path) const {
    return Descriptor(::openat(directory_.get(), path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  }
  Result<std::unique_ptr<File>> file(const std::string& path, int flags, const char* action) {
    Descriptor opened(::openat(directory_.get(), path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (opened.get() < 0) return error_of(errno, action, whole(path));
    return std::unique_ptr<File>(std::make_unique<PosixFile>(std::move(opened), whole(path), (flags & O_ACCMODE) == O_RDONLY));
  }

  Descriptor directory_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<FileSystem>> open_posix_files(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return error_of(errno, "make", directory);
  Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.get() < 0) return error_of(errno, "open", directory);
  return std::unique_ptr<FileSystem>(std::make_unique<PosixFileSystem>(std::move(opened), directory));
}

}  // namespace onced::disk
