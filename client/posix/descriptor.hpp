// A file descriptor that is closed once, by whoever holds it. For the library and the CLI; not installed.
#pragma once

#include <unistd.h>

#include <utility>

namespace onced::client_detail {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { reset(); }

  int number() const { return number_; }
  bool open() const { return number_ >= 0; }
  // Closes it now.
  void reset() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  // Gives it up without closing it.
  int release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

}  // namespace onced::client_detail
