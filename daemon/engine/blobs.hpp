// Blobs outside of records: reserved by connections that fill them, claimed by the publish of the present step, lent to
// connections that were told a value which they cannot find in the segment.
//
//   reserve() -> reserved by one connection -> claimed when a Publish or Put names it -> held by a record, or lent to
//   those who waited, or refused: in each case the claim ends with the step
//
// Ownership: each reservation, each claim and each loan is one hold in the BlobStore; records have holds of their own.
// Trust:     whoever reserved a blob may write to it until examine() has found it sealed: nobody else gets its
//            descriptor before. A receipt proves that the descriptor before has arrived: at most one is under way.
// Errors:    refused, with the limit and its setting; a wrong receipt ends the connection.
#pragma once

#include <cstdint>
#include <functional>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "engine/blob_store.hpp"
#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/parts.hpp"

namespace onced::engine {

// For one more blob.
enum class Room : std::uint8_t {
  is_there,
  being_given_back,  // when the blobs that are closing are closed
};

class Blobs {
 public:
  // Drops values until a blob of so many bytes fits into the budget, now or when what is closing is closed; says why that
  // is not to be done for this connection.
  using MakeRoom = std::function<Result<Room>(const Connection& from, const protocol::Reserve& request)>;
  // Is told of requests that are refused for want of memory, or of places for blobs.
  using OnRefusal = std::function<void(const Connection& from, const protocol::Reserve& request, const std::string& why)>;
  Blobs(Context& context, Connections& connections, BlobStore& store, MakeRoom make_room, OnRefusal on_refusal)
      : context_(context), connections_(connections), store_(store), make_room_(std::move(make_room)), on_refusal_(std::move(on_refusal)) {}

  // Answered later when all that is missing is memory that the kernel is taking back: at most closing_patience later.
  void reserve(Connection& from, protocol::RequestId id, const protocol::Reserve& request);
  // Looks again at the reservations that wait for that, when next_retry() has come.
  void retry();
  void drain();
  std::optional<Time> next_retry() const { return postponed_.empty() ? std::nullopt : retry_at_; }
  void fetch(Connection& from, protocol::RequestId id, const protocol::Fetch& request);
  void release(Connection& from, const protocol::Release& request);
  // Its reservations, those that wait for memory too, and its loans end.
  void connection_gone(Connection& connection);

  // A request that names reserved blobs ends their reservations, whatever comes of it: around each request.
  void claim(Connection& from, const protocol::Request& request);
  void give_claims_back();
  // The same for a value that was read from disk: its blobs are claimed until give_claims_back().
  void adopt(const std::vector<protocol::Part>& parts);
  // Whether the claimed blobs hold what these parts say: each was reserved by who publishes, each part lies inside, each
  // blob is sealed. Nobody can change them any more then.
  std::optional<Error> examine(const std::vector<protocol::Part>& parts);

  // A record holds them now: who is in the namespace may fetch them.
  void placed(const std::vector<BlobId>& blobs);
  // For an answer that travels inline. False: the connection has too many already, and gets none.
  bool lend(ConnectionId to, const std::vector<protocol::Part>& parts);

  // Whether a descriptor goes with an answer of this step; asked once, at its end.
  bool passed_in_step() { return std::exchange(passed_, false); }

  // Its memory does not come back when the value goes that has it.
  bool is_lent(BlobId blob) const { return loans_.contains(blob); }
  std::uint64_t size(BlobId blob) const { return store_.size(blob); }
  std::uint64_t charged(BlobId blob) const { return store_.charged(blob); }
  BlobStore::Usage usage() const { return store_.usage(); }
  std::size_t reserved() const { return reserved_; }
  std::uint64_t reserved_bytes_of(std::uint32_t uid) const;
  // Of the user who has most.
  std::uint64_t reserved_bytes_most() const;
  void check_invariants() const;

 private:
  // Closing 1 GiB takes a tenth of a second, and a small blob takes microseconds.
  static constexpr Duration retry_period = std::chrono::milliseconds(2);
  static constexpr Duration closing_patience = std::chrono::seconds(1);
  struct Postponed {
    ConnectionId from;
    protocol::RequestId id = 0;
    protocol::Reserve request;
    Time until;
  };
  // False: it is to be tried again, now that this may change.
  bool try_to_reserve(Connection& from, protocol::RequestId id, const protocol::Reserve& request, bool may_wait);
  bool receipt_is_wrong(Connection& from, std::uint64_t receipt);
  void pass(Connection& to, protocol::RequestId id, BlobId blob);
  Error still_closing() const;
  void drop_hold(BlobId blob);
  // A reservation begins, and ends: counted for the connection and its user. False: it was none of this connection.
  void add_reservation(Connection& of, BlobId blob);
  bool end_reservation(Connection& of, BlobId blob);
  void end_loan(BlobId blob);
  // Refuses what is above one of the limits of reservations. False: nothing is.
  bool refuse_too_much(const Connection& from, ReplyAddress to, std::uint64_t more_bytes);
  std::uint64_t part_bytes_max() const;

  Context& context_;
  Connections& connections_;
  BlobStore& store_;
  MakeRoom make_room_;
  OnRefusal on_refusal_;
  bool passed_ = false;
  std::size_t reserved_ = 0;            // by all connections
  std::map<std::uint32_t, std::uint64_t> reserved_bytes_;  // by uid; who has none is not in it
  std::unordered_map<BlobId, std::size_t> loans_;  // of all connections
  std::set<BlobId> claimed_;            // by the request of this step
  std::deque<Postponed> postponed_;     // in the order of their arrival
  std::optional<Time> retry_at_;
  std::unordered_set<BlobId> outside_;  // that no record ever held: reserved, claimed or only lent
};

}  // namespace onced::engine
