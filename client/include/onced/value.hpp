// A read-only view of a cached value.
//
// A Value either pins a record in shared memory (no copy was made; the bytes stay as they are until the Value is
// destroyed, whatever the daemon does meanwhile) or owns bytes on the heap (a result computed here, an answer that came
// over the socket, or a hit when every pin was taken). There is no other difference to see.
//
// Lifetime: bytes() is valid while the Value lives. Destroy it in any thread. A Value may outlive its Client.
//           Values are cheap to hold but not free: a pinned one keeps its record's memory from being reused.
// Fork:     a Value taken before fork() stays valid in parent and child; its pin is then kept until both have gone.
// Threads:  const access from any thread; moving or destroying needs the usual exclusive access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace onced {

namespace client_detail {
struct Attachment;  // one connection's mappings (client/src/attachment.hpp)
struct OwnedBytes;  // heap copy of a value
}  // namespace client_detail

class Value {
 public:
  Value() = default;  // empty: no bytes
  Value(Value&& other) noexcept
      : bytes_(std::exchange(other.bytes_, {})),
        content_type_(std::exchange(other.content_type_, {})),
        attachment_(std::exchange(other.attachment_, nullptr)),
        owned_(std::exchange(other.owned_, nullptr)),
        version_(other.version_),
        cost_us_(other.cost_us_),
        pin_(other.pin_),
        fork_epoch_(other.fork_epoch_),
        computed_here_(other.computed_here_) {}
  Value& operator=(Value&& other) noexcept {
    Value(std::move(other)).swap(*this);
    return *this;
  }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  ~Value() {
    if (attachment_ != nullptr || owned_ != nullptr) drop();
  }

  // Aligned to 64 bytes when in_shared_memory().
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  std::string_view content_type() const { return content_type_; }
  std::uint64_t version() const { return version_; }        // of the key: rises with every publish; 0: computed here, unstored
  std::uint64_t cost_us() const { return cost_us_; }        // what computing it took, in microseconds
  bool in_shared_memory() const { return attachment_ != nullptr; }
  // Computed by this very call, not found or waited for.
  bool computed_here() const { return computed_here_; }

  void swap(Value& other) noexcept;

 private:
  friend struct client_detail::Attachment;
  friend struct ValueMaker;
  void drop() noexcept;

  std::span<const std::byte> bytes_;
  std::string_view content_type_;
  client_detail::Attachment* attachment_ = nullptr;
  client_detail::OwnedBytes* owned_ = nullptr;
  std::uint64_t version_ = 0;
  std::uint64_t cost_us_ = 0;
  std::uint32_t pin_ = 0;
  std::uint32_t fork_epoch_ = 0;
  bool computed_here_ = false;
};

}  // namespace onced
