// The inside of a ValueBuilder: parts that are being filled, and how they get into shared memory.
//
//   memory of this process --.                       .--> in the request (small ones, together up to a limit)
//   a file of this process --+--(place)--> sealed ---+--> several in one blob (small ones beyond that)
//   memory of the daemon ----'                       '--> a blob each
//
// Ownership: the parts' memory; reservations until a Publish or Put has named them. Afterwards take_parts() gives what is
//            to be read to a Value.
// Threads:   one at a time.
// Fork:      in a child nothing of it is used; destroying it there leaves the parent's reservations alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <onced/value_builder.hpp>

#include "attachment.hpp"
#include "client_state.hpp"
#include "mapping.hpp"
#include "part_table.hpp"

namespace onced {

namespace client_detail {

// Memory of the daemon that this process fills.
class Reservation {
 public:
  // Whether what it is for is there already, or is yet to be computed.
  enum class Content : std::uint8_t { ready, to_come };
  // Errors: as the daemon refuses; malformed: what it sent is not as it should be.
  // `key`: of the value; empty: it is not known yet.
  static Result<Reservation> make(Attachment& attachment, std::uint64_t bytes, Content content, std::string_view key);
  Reservation(Reservation&& other) noexcept = default;
  Reservation& operator=(Reservation&& other) noexcept = default;
  ~Reservation();

  std::uint64_t blob() const { return blob_.id; }
  Attachment& attachment() const { return *attachment_; }
  int descriptor() const { return memory_.number(); }
  // Until seal(): writable, and not in children.
  Result<std::span<std::byte>> map();
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes);
  // From here on nobody can change it. Errors: limit_reached: a mapping or a write of somebody else's is in the way.
  Result<void> seal();
  // It was named in a request: it is the daemon's to give back.
  void named() { blob_.named = true; }
  // To read from; shared with hits that come later.
  Result<BlobView> view() const { return attachment_->map_own_blob(blob_.id, memory_, bytes_); }
  // To read from, independent of the connection.
  Result<PrivateMemory> private_view() const;

 private:
  // Moves with its flags: the one moved from gives nothing back.
  struct Blob {
    Blob() = default;
    explicit Blob(std::uint64_t number) : id(number) {}
    Blob(Blob&& other) noexcept : id(std::exchange(other.id, 0)), named(other.named), sealed(other.sealed) {}
    Blob& operator=(Blob&& other) noexcept {
      std::swap(id, other.id);
      std::swap(named, other.named);
      std::swap(sealed, other.sealed);
      return *this;
    }
    std::uint64_t id = 0;
    bool named = false;
    bool sealed = false;
  };
  Reservation(AttachmentRef attachment, Channel::BlobMemory memory);
  void unmap();

  AttachmentRef attachment_;
  Blob blob_;
  std::uint64_t bytes_ = 0;
  Descriptor memory_;
  Mapping filling_;
};

}  // namespace client_detail

struct ValueBuilder::State {
  // Of a client: memory comes over its connection as soon as some is needed; without it there is none. The key may be empty: not known yet.
  State(Client::State& of_client, std::string_view of_key);
  // Of a computation: over this connection (empty: there is no daemon); else memory of this process.
  State(Client::State& of_client, std::string_view of_key, client_detail::AttachmentRef over);

  struct DraftPart {
    std::string name;
    std::string content_type;
    std::uint64_t reserved = 0;
    std::uint64_t used = 0;
    // One of these:
    client_detail::PrivateMemory memory;
    client_detail::Descriptor file;
    std::optional<client_detail::Reservation> blob;
  };

  // Whether this is the process that began it.
  Result<void> check_own() const;
  Result<void> check_new(std::string_view name, std::string_view content_type) const;
  Result<std::span<std::byte>> reserve(std::string_view name, std::uint64_t bytes, std::string_view content_type);
  Result<int> reserve_descriptor(std::string_view name, std::uint64_t bytes, std::string_view content_type);
  Result<void> add(std::string_view name, std::span<const std::byte> bytes, std::string_view content_type);
  DraftPart* find(std::string_view name);
  // Of all parts together that travel in the request; what is larger gets memory of the daemon.
  std::uint64_t inline_bytes_max() const;
  // For the part without a name, if it has none of its own.
  void set_default_content_type(std::string_view content_type);

  // The parts as a request to this attachment names them, all of it sealed. What was reserved over another connection is
  // copied.
  Result<std::vector<protocol::Part>> place(client_detail::Attachment& over);
  // A request has named what place() gave.
  void named();
  // What a Value of these parts reads. The builder is empty then.
  Result<std::unique_ptr<client_detail::PartTable>> take_parts();

  // Where memory was reserved, if it was; still usable.
  client_detail::Attachment* attachment_in_use() const;

  Client::State& client;
  std::string key;
  Result<void> right_key;  // looked at once, not for each part; of a computation it was before its lease was asked for
  client_detail::AttachmentRef attachment;
  const bool falls_back;  // to memory of this process
  client_detail::Process* const process;
  std::vector<DraftPart> parts;
  std::optional<client_detail::Reservation> packed;  // small parts that did not fit into the request

 private:
  Result<client_detail::Reservation> reserve_blob(std::uint64_t bytes, client_detail::Reservation::Content content);
  Result<void> bring_home(client_detail::Attachment& over);
  Result<void> pack(client_detail::Attachment& over, const std::vector<std::size_t>& small, std::vector<protocol::Part>& placed);
};

}  // namespace onced
