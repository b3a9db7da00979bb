// What blobs there must be: those that somebody reserves, that a live or pinned record names, or that are lent; no other.
//
// It learns from requests and answers who has which, from the record store which record names which, and compares with
// the blob store after every step: existence, count, charged bytes, the budget.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "blob_contents.hpp"
#include "engine/engine.hpp"
#include "memory/segment_store.hpp"
#include "schedule.hpp"

namespace onced::simulation {

std::set<std::uint64_t> blobs_in(const Parts& parts);

class BlobModel {
 public:
  BlobModel(Schedule& schedule, const memory::SegmentStore& store, const memory::MemfdBlobStore& blobs)
      : schedule_(schedule), store_(store), blobs_(blobs) {}

  // What a step begins with ---------------------------------------------------------------------------------------------
  bool is_receipt(engine::ConnectionId connection, std::uint64_t receipt) const;
  // A Publish or Put of these parts ends the reservations that it names.
  void claim(engine::ConnectionId connection, const Parts& parts);
  // Of the claimed ones: why such a value must be refused.
  std::optional<ErrorCode> refusal_of(const Parts& parts) const;
  void released(engine::ConnectionId connection, const std::vector<std::uint64_t>& blobs);
  void connection_ends(engine::ConnectionId connection);

  // Blobs that the disk has made for a value that it brings.
  void adopted(const Parts& parts);
  // Memory for these was short before the present step, or so many places were.
  bool was_too_much(const Parts& parts, std::size_t places) const;
  // Whatever goes that can.
  bool has_no_places_for(std::size_t places) const;
  // Nor would there be any if all went that can.
  bool is_too_much(const Parts& parts) const;

  // What it answered ----------------------------------------------------------------------------------------------------
  // `is_weighed`: if it is large, it may be refused for the sake of what would go for it.
  void reserved(engine::ConnectionId connection, const protocol::Reserve& request, const engine::Send& send, bool is_weighed);
  void fetched(engine::ConnectionId connection, const protocol::Fetch& request, const engine::Send& send);
  void lent(engine::ConnectionId connection, const Parts& parts);
  // Since the last step, whatever the present one does.
  bool has_room_for(const protocol::Reserve& request) const {
    return charged_bytes_ + request.bytes <= schedule_.profile.settings.blob_bytes_max && count_ < blobs_.usage().count_max;
  }

  // What it did to records ----------------------------------------------------------------------------------------------
  void placed(engine::RecordRef record, const Parts& parts);
  void retired(engine::RecordRef record);

  // After each step: `live` are the blobs of the values that readers find.
  void check(const std::set<std::uint64_t>& live);

 private:
  struct Retired {
    std::set<std::uint64_t> blobs;
    std::optional<Time> pinned;  // when it was last seen pinned
  };
  const protocol::Blob* blob_of(engine::ConnectionId connection, const engine::Send& send);
  void check_retired();
  std::set<std::uint64_t> pinned_live() const;
  bool exists(std::uint64_t blob) const { return blobs_.size(engine::BlobId{blob}) != 0; }
  bool is_lent(std::uint64_t blob) const;
  static void require(bool condition, std::string_view text) {
    if (!condition) throw Violation(std::string(text));
  }

  Schedule& schedule_;
  const memory::SegmentStore& store_;
  const memory::MemfdBlobStore& blobs_;
  std::map<engine::ConnectionId, std::uint64_t> receipts_;
  std::map<engine::ConnectionId, std::set<std::uint64_t>> reserved_;
  std::map<engine::ConnectionId, std::map<std::uint64_t, int>> lent_;
  std::set<std::uint64_t> claimed_;                            // by the present step
  bool passed_ = false;                                         // by the present step: it frees no other
  std::set<std::uint64_t> ever_placed_;
  std::set<std::uint64_t> from_disk_;                          // which were made before anybody could ask whether there is room
  std::map<std::uint64_t, std::uint64_t> charges_;
  std::map<engine::RecordRef, std::set<std::uint64_t>> records_;  // with blobs
  std::map<engine::RecordRef, Retired> retired_;
  std::uint64_t not_to_evict_bytes_ = 0;  // after the last step: charged for what no eviction brings back
  std::uint64_t not_to_evict_ = 0;
  std::uint64_t charged_bytes_ = 0;       // in all
  std::uint64_t count_ = 0;
};

}  // namespace onced::simulation
