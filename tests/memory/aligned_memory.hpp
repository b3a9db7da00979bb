// Zeroed heap memory of exactly the size that was asked for, aligned as a mapping is: stands in for shared memory, so
// that AddressSanitizer sees every read beyond its end and ThreadSanitizer sees all threads use the same addresses.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include <onced/protocol/pin_page.hpp>

#include "memory/pin_table.hpp"

namespace onced::test {

class AlignedMemory {
 public:
  explicit AlignedMemory(std::size_t bytes) : bytes_(bytes) {
    void* at = nullptr;
    if (::posix_memalign(&at, 4096, bytes) != 0) throw std::bad_alloc();
    std::memset(at, 0, bytes);
    memory_.reset(static_cast<std::byte*>(at));
  }
  std::span<std::byte> bytes() const { return {memory_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* at) const { std::free(at); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t bytes_;
};

// A formatted pin page of which `lines` client lines are in use.
class HeapPinPage {
 public:
  explicit HeapPinPage(std::uint32_t lines = 1)
      : memory_(sizeof(protocol::PinPage)), page_(memory::format_pin_page(memory_.bytes())) {
    page_.client_lines_used.store(lines);
  }
  protocol::PinPage& operator*() { return page_; }
  protocol::PinPage* operator->() { return &page_; }

 private:
  AlignedMemory memory_;
  protocol::PinPage& page_;
};

}  // namespace onced::test
