// A close() that hangs until the test lets it go.
#pragma once

#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>

namespace onced::testing {

// Shared with the thread that hangs in it, which may outlive the test.
struct Gate {
  std::atomic<bool> open{false};
  std::atomic<int> entered{0};
  static std::function<void(int)> of(const std::shared_ptr<Gate>& gate) {
    return [gate](int descriptor) {
      ++gate->entered;
      gate->open.wait(false);
      ::close(descriptor);
    };
  }
  void let_go() {
    open = true;
    open.notify_all();
  }
};

}  // namespace onced::testing
