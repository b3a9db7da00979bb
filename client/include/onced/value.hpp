// A read-only view of a cached value: one or more parts, each with a name, a content type and bytes.
//
// Most values are one part without a name: bytes(), text() and content_type() speak of that one. Named parts come by
// part(name) or part(number). All parts of a Value are of one version: nothing ever replaces one of them alone.
//
// A Value pins a record in shared memory (no copy was made; the bytes stay as they are until the Value is destroyed,
// whatever the daemon does meanwhile), or owns its bytes (a result computed here, an answer that came over the socket,
// or a hit when every pin was taken). There is no other difference to see. Large parts are mapped read-only, each when
// it is first asked for, the unnamed one when the value is got; the mapping is kept for later hits
// (ClientOptions::mapping_cache_bytes), which then make no system call.
//
// Alignment: every part's bytes start at a multiple of 64, wherever they are. A part without bytes may be anywhere.
// Lifetime: all that is returned here is valid while the Value lives. Destroy it in any thread. A Value may outlive its
//           Client. Values are cheap to hold but not free: a pinned one keeps its memory from being reused.
// Fork:     a Value taken before fork() stays valid in parent and child, and so do the parts that were mapped by then;
//           its pin is kept until both have gone. A large part that was not mapped by then the child cannot have from
//           this Value (`unavailable`): look the key up again.
// Threads:  const access from any thread; moving or destroying needs the usual exclusive access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced {

namespace client_detail {
struct Attachment;   // one connection's mappings (client/src/attachment.hpp)
class PartTable;     // the parts of a value that has not just one in its record (client/src/part_table.hpp)
struct BlobMapping;  // memory of a large part (client/src/mapping_cache.hpp)
// Whether a value is past its time; due: the call that found it is to see to a new one.
enum class Age : std::uint8_t { fresh, early_due, stale, stale_due };
}  // namespace client_detail

// One part, readable.
struct Part {
  std::string_view name;
  std::string_view content_type;
  std::span<const std::byte> bytes;
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

// What is known of a part without touching its bytes.
struct PartInfo {
  std::string_view name;
  std::string_view content_type;
  std::uint64_t bytes = 0;
  bool large = false;  // in memory of its own, mapped when it is asked for
};

class Value {
 public:
  // Empty: no parts. Not defaulted: that would clear all of it first, by an instruction (rep stos) that costs more than a hit's hash.
  Value() noexcept {}
  Value(Value&& other) noexcept
      : bytes_(std::exchange(other.bytes_, {})),
        content_type_(std::exchange(other.content_type_, {})),
        attachment_(std::exchange(other.attachment_, nullptr)),
        parts_(std::exchange(other.parts_, nullptr)),
        mapping_(std::exchange(other.mapping_, nullptr)),
        version_(other.version_),
        cost_us_(other.cost_us_),
        pin_(other.pin_),
        fork_epoch_(other.fork_epoch_),
        computed_here_(other.computed_here_),
        age_(other.age_) {}
  Value& operator=(Value&& other) noexcept {
    Value(std::move(other)).swap(*this);
    return *this;
  }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  ~Value() {
    if (attachment_ != nullptr || parts_ != nullptr) drop();
  }

  // Of the part without a name; empty when there is none.
  std::span<const std::byte> bytes() const ONCED_LIFETIMEBOUND { return bytes_; }
  std::string_view text() const ONCED_LIFETIMEBOUND { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  std::string_view content_type() const ONCED_LIFETIMEBOUND { return content_type_; }

  // In the order in which they were published.
  std::size_t part_count() const;
  // The first call for a large part may ask the daemon for its memory and takes ClientOptions::request_timeout at most.
  // Errors: not_found (no such part; the text names those there are), unavailable (the daemon is gone, or does not
  // answer, before the part was mapped), out_of_memory (it cannot be mapped).
  Result<Part> part(std::size_t number) const;
  Result<Part> part(std::string_view name) const;
  // All of them; maps nothing and asks nobody.
  std::vector<PartInfo> parts() const;

  std::uint64_t version() const { return version_; }        // of the key: rises with every publish; 0: computed here, unstored
  std::uint64_t cost_us() const { return cost_us_; }        // what computing it took, in microseconds
  // True: pinned in shared memory. False: this Value's own.
  bool in_shared_memory() const { return attachment_ != nullptr; }
  // It was past its time when it was got, and within its grace: somebody refreshes it, or the next one will who asks for it.
  bool stale() const { return age_ >= client_detail::Age::stale; }
  // Computed by this very call, not found or waited for.
  bool computed_here() const { return computed_here_; }
  // Of a result that was computed here: why nobody else can have it (over the budget, too large, the lease was lost, no
  // daemon). Nothing when it was stored.
  std::optional<Error> not_stored() const;
  // Of a result that was computed here and was to be durable (ComputeOptions::durable): why it is not on stable storage. Nothing when it
  // is, and of every other value, of which that is not known.
  std::optional<Error> not_durable() const;

  void swap(Value& other) noexcept;

 private:
  friend struct client_detail::Attachment;
  friend struct ValueMaker;
  friend class Client;
  void drop() noexcept;

  std::span<const std::byte> bytes_;
  std::string_view content_type_;
  client_detail::Attachment* attachment_ = nullptr;   // whose pin it holds
  client_detail::PartTable* parts_ = nullptr;         // null: one part, unnamed, in its record or in mapping_
  client_detail::BlobMapping* mapping_ = nullptr;     // of that one part, viewed by this Value
  std::uint64_t version_ = 0;
  std::uint64_t cost_us_ = 0;
  std::uint32_t pin_ = 0;
  std::uint32_t fork_epoch_ = 0;
  bool computed_here_ = false;
  client_detail::Age age_ = client_detail::Age::fresh;
};

namespace client_detail {
// A std::optional<Value> that holds nothing. Made by its own default constructor it would be cleared first, like a defaulted Value.
inline std::optional<Value> no_value() {
  std::optional<Value> value(std::in_place);
  value.reset();
  return value;
}
}  // namespace client_detail

}  // namespace onced
