// The parts of a value that are more than one unnamed part in a record: those of a pinned record, or a value's own.
//
// Ownership: belongs to one Value. Views of mapped blobs live as long as it does. Of a pinned record it refers to what the
//            Value's pin keeps.
// Threads:   part() from any thread; add_*() before anybody else has it.
// Lent blobs: own parts may be in blobs that the daemon has lent to the connection. They are given back when all of them
//            are mapped here, or with the table.
// Fork:      a child reads what its parent had mapped and takes no lock: another thread may have held it.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <onced/value.hpp>

#include "attachment.hpp"
#include "mapping.hpp"
#include "mapping_cache.hpp"

namespace onced::client_detail {

class PartTable {
 public:
  // The parts of a record that is pinned in `attachment` as long as this lives.
  PartTable(Attachment& attachment, const protocol::RecordHeader* record)
      : process_(attachment.process), pinned_in_(&attachment), record_(record) {}
  // A value's own parts, none yet.
  PartTable() : process_(&Process::here()) {}
  PartTable(const PartTable&) = delete;
  PartTable& operator=(const PartTable&) = delete;
  ~PartTable();

  void add(std::string_view name, std::string_view content_type, PrivateMemory memory, std::size_t used);
  // In a blob that add_view() has brought, or that was lent.
  void add_in_blob(std::string_view name, std::string_view content_type, std::uint64_t blob, std::uint64_t offset, std::uint64_t length);
  void add_view(std::uint64_t blob, BlobView view);
  // The blobs of own parts without a view are lent to this connection: keeps it.
  void lent_over(AttachmentRef attachment);
  void set_not_stored(Error why) { not_stored_ = std::move(why); }
  void set_not_durable(Error why) { not_durable_ = std::move(why); }

  std::size_t count() const;
  // `within`: as for Attachment::map_blob().
  Result<Part> part(std::size_t number, Milliseconds within = Milliseconds::max()) const;
  Result<Part> part(std::string_view name, Milliseconds within = Milliseconds::max()) const;
  std::optional<std::size_t> find(std::string_view name) const;
  PartInfo info(std::size_t number) const;
  const std::optional<Error>& not_stored() const { return not_stored_; }
  const std::optional<Error>& not_durable() const { return not_durable_; }

 private:
  struct OwnPart {
    std::string name;
    std::string content_type;
    PrivateMemory memory;
    std::size_t used = 0;
    std::uint64_t blob = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  // A part as it stands, wherever; `bytes` empty when it is in a blob.
  std::optional<protocol::SegmentReader::PartView> entry(std::size_t number) const;
  std::optional<std::span<const std::byte>> viewed(std::uint64_t blob) const;
  Result<std::span<const std::byte>> bytes_of(std::uint64_t blob, Milliseconds within) const;
  void give_back_if_mapped() const;
  void push(std::uint64_t blob, BlobView view) const;

  struct View {
    std::uint64_t blob;
    BlobView view;
    View* next;
  };

  Process* const process_;
  Attachment* const pinned_in_ = nullptr;
  const protocol::RecordHeader* const record_ = nullptr;
  std::vector<OwnPart> own_;
  std::optional<Error> not_stored_;
  std::optional<Error> not_durable_;

  std::vector<std::uint64_t> lent_;
  AttachmentRef lender_;

  // A list that only grows. Release in push(), acquire in viewed(): an entry is complete before it is seen.
  mutable std::atomic<View*> views_{nullptr};
  mutable std::mutex adding_;  // to views_
  mutable std::atomic<bool> given_back_{false};  // lent_; set once, relaxed: it guards nothing
};

}  // namespace onced::client_detail
