#include "service/log_writer.hpp"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <mutex>
#include <utility>

namespace onced::service {

struct LogWriter::State {
  struct Line {
    std::string text;
    int redirect_to = -1;  // not a line: from here on this descriptor
  };

  State(int descriptor_in, bool owned_in, std::size_t lines_max_in, std::string (*missing_line_in)(std::uint64_t))
      : descriptor(descriptor_in), owned(owned_in), lines_max(lines_max_in), missing_line(missing_line_in) {}

  int descriptor;  // the thread's
  bool owned;      // the thread's
  const std::size_t lines_max;
  std::string (*const missing_line)(std::uint64_t);

  std::mutex mutex;
  std::deque<Line> lines;     // under mutex
  bool stopping = false;      // under mutex
  std::uint64_t missing = 0;  // under mutex: dropped since the last line that says so
  // Counts changes of what is under mutex: the thread waits for it to change. Release by changed(); acquire by run().
  std::atomic<std::uint32_t> changes{0};
  std::atomic<std::uint64_t> dropped{0};  // relaxed: a statistic

  ~State() {
    if (owned && descriptor >= 0) ::close(descriptor);
  }

  void changed() {
    changes.fetch_add(1, std::memory_order_release);
    changes.notify_one();
  }

  // False: the log does not take it. Nothing else depends on it.
  bool write_all(const std::string& text) const {
    std::size_t written = 0;
    while (written < text.size()) {
      const ssize_t count = ::write(descriptor, text.data() + written, text.size() - written);
      if (count >= 0) {
        written += static_cast<std::size_t>(count);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        // Somebody made the pipe non-blocking. This thread may wait.
        pollfd ready{descriptor, POLLOUT, 0};
        ::poll(&ready, 1, -1);
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }

  void run() {
    for (;;) {
      const std::uint32_t seen = changes.load(std::memory_order_acquire);
      std::deque<Line> batch;
      std::uint64_t gone = 0;
      bool stop = false;
      {
        const std::lock_guard lock(mutex);
        batch.swap(lines);
        gone = std::exchange(missing, 0);
        stop = stopping;
      }
      std::uint64_t lost = 0;
      for (const Line& line : batch) {
        if (line.redirect_to >= 0) {
          if (owned) ::close(descriptor);
          descriptor = line.redirect_to;
          owned = true;
        } else if (!write_all(line.text)) {
          ++lost;
        }
      }
      if (gone != 0 && !write_all(missing_line(gone))) {
        const std::lock_guard lock(mutex);
        missing += gone;
      }
      if (lost != 0) {
        dropped.fetch_add(lost, std::memory_order_relaxed);
        const std::lock_guard lock(mutex);
        missing += lost;
      }
      if (!batch.empty()) continue;
      if (stop) return;
      changes.wait(seen, std::memory_order_acquire);
    }
  }
};

LogWriter::LogWriter(int descriptor, bool owned, std::size_t lines_max, std::string (*missing_line)(std::uint64_t))
    : state_(std::make_shared<State>(descriptor, owned, lines_max, missing_line)),
      thread_([state = state_] { state->run(); }) {}

LogWriter::~LogWriter() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed();
  thread_.stop(patience);
}

void LogWriter::push(std::string line) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->lines.size() >= state_->lines_max) {
      ++state_->missing;
      state_->dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    state_->lines.push_back({std::move(line), -1});
  }
  state_->changed();
}

void LogWriter::redirect(int descriptor) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->lines.push_back({{}, descriptor});
  }
  state_->changed();
}

std::uint64_t LogWriter::dropped() const { return state_->dropped.load(std::memory_order_relaxed); }

}  // namespace onced::service
