// Child processes of a benchmark: peers' servers, and workers that measure on request. None outlives the benchmark,
// however that ends.
//
// Ownership: each object owns its process (or directory) and ends (removes) it when destroyed.
// Threads:   create them from the main thread: the kernel kills the children when the thread that made them is gone.
// Errors:    std::runtime_error, std::system_error.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace onced::bench {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class ChildProcess {
 public:
  // Runs a program; its standard output and error go to `log_file`.
  static ChildProcess execute(const std::vector<std::string>& words, const std::filesystem::path& log_file);
  // Runs a function in a fork of this process; what it returns is the exit status.
  static ChildProcess run(const std::function<int()>& body);

  ChildProcess(ChildProcess&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess() { stop(); }

  pid_t id() const { return id_; }
  bool running();
  // SIGTERM, SIGKILL after some seconds, and wait.
  void stop();

 private:
  explicit ChildProcess(pid_t id) : id_(id) {}
  pid_t id_ = 0;
};

// A forked process that answers requests with figures, one at a time. `set_up` runs in the child, once, before the
// first.
class Worker {
 public:
  using Figures = std::vector<double>;  // at most figures_max
  using Handler = std::function<Figures(std::uint64_t request)>;
  static constexpr std::size_t figures_max = 8;

  explicit Worker(const std::function<Handler()>& set_up);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  pid_t id() const { return process_.id(); }
  void start(std::uint64_t request);
  // Waits for the answer to the request that was started; throws when the worker died over it.
  Figures finish();
  Figures call(std::uint64_t request) {
    start(request);
    return finish();
  }

 private:
  struct Ends {
    int parent = -1;
    int child = -1;
  };
  static Ends connect_ends();
  static int serve(Ends ends, const std::function<Handler()>& set_up);

  Ends ends_;
  ChildProcess process_;
};

// Memory that workers forked after it share with this process.
template <typename T>
requires(std::is_trivially_destructible_v<T>) class SharedMemory {
 public:
  SharedMemory() {
    void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    object_ = new (memory) T{};
  }
  ~SharedMemory() { ::munmap(object_, sizeof(T)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

 private:
  T* object_;
};

}  // namespace onced::bench
