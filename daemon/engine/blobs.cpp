#include "engine/blobs.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "engine/sip_hash.hpp"
#include "engine/text.hpp"

namespace onced::engine {

namespace {

const std::vector<protocol::Part>* parts_in(const protocol::Request& request) {
  if (const auto* publish = std::get_if<protocol::Publish>(&request)) return &publish->parts;
  if (const auto* put = std::get_if<protocol::Put>(&request)) return &put->parts;
  return nullptr;
}

Error wrong(const protocol::Part& part, const std::string& what) {
  return {ErrorCode::invalid_argument, "part \"" + part.name + "\": " + what};
}

// Of the daemon's secret: its own part, as far as there is need.
std::array<std::uint64_t, 2> receipt_key(const HashSecret& secret) {
  std::array<std::uint64_t, 2> key{};
  std::memcpy(key.data(), secret.data() + secret.size() - sizeof(key), sizeof(key));
  return key;
}

}  // namespace

// ---- requests -------------------------------------------------------------------------------------------------------

void Blobs::reserve(Connection& from, protocol::RequestId id, const protocol::Reserve& request) {
  if (try_to_reserve(from, id, request, true)) return;
  postponed_.push_back({from.id, id, request, context_.now + closing_patience});
  from.reserving.insert(id);
  if (postponed_.size() == 1) retry_at_ = context_.now + retry_period;
}

void Blobs::retry() {
  if (postponed_.empty() || context_.now < *retry_at_) return;
  retry_at_ = context_.now + retry_period;
  // The first first: a later one, though smaller, does not take its memory.
  while (!postponed_.empty()) {
    const Postponed& first = postponed_.front();
    Connection* const from = connections_.find(first.from);
    if (from != nullptr && from->reserving.erase(first.id) != 0 &&
        !try_to_reserve(*from, first.id, first.request, context_.now < first.until)) {
      from->reserving.insert(first.id);
      return;
    }
    postponed_.pop_front();
  }
}

void Blobs::drain() {
  for (const Postponed& one : postponed_) {
    Connection* const from = connections_.find(one.from);
    if (from != nullptr && from->reserving.erase(one.id) != 0)
      context_.refuse({one.from, one.id}, ErrorCode::unavailable, context_.draining_why);
  }
  postponed_.clear();
}

bool Blobs::try_to_reserve(Connection& from, protocol::RequestId id, const protocol::Reserve& request, bool may_wait) {
  if (receipt_is_wrong(from, request.receipt)) return true;
  const ReplyAddress to{from.id, id};
  const auto refuse = [&](ErrorCode code, std::string text) {
    context_.refuse(to, code, std::move(text));
    return true;
  };
  if (request.bytes == 0) return refuse(ErrorCode::invalid_argument, "a blob has at least one byte; publish an empty part without one");
  if (request.bytes > part_bytes_max()) {
    return refuse(ErrorCode::too_large, "a blob has " + exceeds_text(request.bytes, part_bytes_max()) + " (limits.part_bytes_max)");
  }
  if (refuse_too_much(from, to, request.bytes)) return true;
  const Result<Room> room = make_room_(from, request);
  if (room && *room == Room::being_given_back && may_wait) return false;
  const Result<void> has_room = !room                   ? Result<void>(room.error())
                                : *room == Room::is_there ? Result<void>()
                                                          : Result<void>(still_closing());
  const Result<BlobId> made = has_room ? store_.create(request.bytes) : has_room.error();
  if (!made) {
    ++context_.counters.reservations_refused;
    on_refusal_(from, request, made.error().text);
    return refuse(made.error().code, made.error().text);
  }
  add_reservation(from, *made);
  outside_.insert(*made);
  pass(from, id, *made);
  return true;
}

bool Blobs::refuse_too_much(const Connection& from, ReplyAddress to, std::uint64_t more_bytes) {
  const Settings& settings = context_.settings;
  if (from.blobs() >= settings.blobs_reserved_per_connection_max) {
    context_.refuse_for(Limit::blobs_reserved_per_connection, to,
                        "this connection has " + std::to_string(from.reserved.size()) + " reserved, " + std::to_string(from.reserving.size()) +
                            " still to be reserved and " + std::to_string(from.loans) + " lent blobs, and can publish or release some");
    return true;
  }
  const auto too_much = [&](Limit limit, std::uint64_t bytes, const std::string& who) {
    if (more_bytes <= value_of(limit, settings) && bytes <= value_of(limit, settings) - more_bytes) return false;
    context_.refuse_for(limit, to, who + " has reserved " + std::to_string(bytes) + " bytes for blobs that are not published yet, and this one has " +
                                       std::to_string(more_bytes));
    return true;
  };
  return too_much(Limit::reserved_bytes_per_connection, from.reserved_bytes, "this connection") ||
         too_much(Limit::reserved_bytes_per_uid, reserved_bytes_of(from.process.uid), "user " + std::to_string(from.process.uid));
}

void Blobs::add_reservation(Connection& of, BlobId blob) {
  of.reserved.insert(blob);
  ++reserved_;
  of.reserved_bytes += store_.charged(blob);
  reserved_bytes_[of.process.uid] += store_.charged(blob);
}

bool Blobs::end_reservation(Connection& of, BlobId blob) {
  if (of.reserved.erase(blob) == 0) return false;
  --reserved_;
  of.reserved_bytes -= store_.charged(blob);
  const auto of_user = reserved_bytes_.find(of.process.uid);
  of_user->second -= store_.charged(blob);
  if (of_user->second == 0) reserved_bytes_.erase(of_user);
  return true;
}

std::uint64_t Blobs::reserved_bytes_of(std::uint32_t uid) const {
  const auto found = reserved_bytes_.find(uid);
  return found == reserved_bytes_.end() ? 0 : found->second;
}

std::uint64_t Blobs::reserved_bytes_most() const {
  std::uint64_t most = 0;
  for (const auto& [uid, bytes] : reserved_bytes_) most = std::max(most, bytes);
  return most;
}

Error Blobs::still_closing() const {
  return {ErrorCode::out_of_memory, "the memory of " + std::to_string(store_.usage().closing_count) +
                                        " dropped blobs is still being given back to the kernel; try again"};
}

void Blobs::fetch(Connection& from, protocol::RequestId id, const protocol::Fetch& request) {
  if (receipt_is_wrong(from, request.receipt)) return;
  const BlobId blob{request.blob};
  const bool may_have_it = from.lent.contains(blob) || !outside_.contains(blob);
  if (!may_have_it || store_.size(blob) == 0) {
    return context_.refuse({from.id, id}, ErrorCode::not_found,
                           "blob " + std::to_string(request.blob) + " is in no value that can be read any more; ask for the key again");
  }
  pass(from, id, blob);
}

void Blobs::release(Connection& from, const protocol::Release& request) {
  for (const std::uint64_t number : request.blobs) {
    const BlobId blob{number};
    if (end_reservation(from, blob)) {
      drop_hold(blob);
    } else if (const auto lent = from.lent.find(blob); lent != from.lent.end()) {
      if (--lent->second == 0) from.lent.erase(lent);
      --from.loans;
      end_loan(blob);
    }
  }
}

void Blobs::connection_gone(Connection& connection) {
  connection.reserving.clear();
  while (!connection.reserved.empty()) {
    const BlobId blob = *connection.reserved.begin();
    end_reservation(connection, blob);
    drop_hold(blob);
  }
  for (const auto& [blob, times] : connection.lent)
    for (std::uint32_t i = 0; i < times; ++i) end_loan(blob);
  connection.lent.clear();
  connection.loans = 0;
}

// ---- publishing -----------------------------------------------------------------------------------------------------

void Blobs::claim(Connection& from, const protocol::Request& request) {
  ONCED_ASSERT(claimed_.empty());
  const std::vector<protocol::Part>* parts = parts_in(request);
  if (parts == nullptr || from.reserved.empty()) return;
  for (const protocol::Part& part : *parts) {
    if (part.blob == 0 || !end_reservation(from, BlobId{part.blob})) continue;
    claimed_.insert(BlobId{part.blob});
  }
}

void Blobs::adopt(const std::vector<protocol::Part>& parts) {
  for (const BlobId blob : sums_of(parts).blobs) {
    claimed_.insert(blob);
    outside_.insert(blob);
  }
}

void Blobs::give_claims_back() {
  for (const BlobId blob : claimed_) drop_hold(blob);
  claimed_.clear();
}

std::optional<Error> Blobs::examine(const std::vector<protocol::Part>& parts) {
  for (const protocol::Part& part : parts) {
    if (part.blob == 0) continue;
    const BlobId blob{part.blob};
    if (!claimed_.contains(blob))
      return wrong(part, "blob " + std::to_string(part.blob) + " is no reservation of this connection, or was published or released before");
    if (part.offset % protocol::value_alignment != 0)
      return wrong(part, "offset " + std::to_string(part.offset) + " is no multiple of " + std::to_string(protocol::value_alignment));
    const std::uint64_t size = store_.size(blob);
    if (part.offset >= size || part.length > size - part.offset) {
      return wrong(part, std::to_string(part.length) + " bytes at offset " + std::to_string(part.offset) + " reach beyond the " +
                             std::to_string(size) + " bytes of the blob");
    }
  }
  for (const BlobId blob : claimed_) {
    if (const Result<void> examined = store_.examine(blob); !examined)
      return Error{examined.error().code, "blob " + std::to_string(static_cast<std::uint64_t>(blob)) + ": " + examined.error().text};
  }
  return std::nullopt;
}

void Blobs::placed(const std::vector<BlobId>& blobs) {
  for (const BlobId blob : blobs) outside_.erase(blob);
}

bool Blobs::lend(ConnectionId to, const std::vector<protocol::Part>& parts) {
  const std::vector<BlobId> blobs = sums_of(parts).blobs;
  Connection& connection = connections_.at(to);
  if (!blobs.empty() && connection.blobs() + blobs.size() > context_.settings.blobs_reserved_per_connection_max) return false;
  for (const BlobId blob : blobs) {
    store_.hold(blob);
    ++connection.lent[blob];
    ++connection.loans;
    ++loans_[blob];
  }
  return true;
}

// ---- descriptors ----------------------------------------------------------------------------------------------------

bool Blobs::receipt_is_wrong(Connection& from, std::uint64_t receipt) {
  if (receipt == from.receipt) return false;
  context_.close(from.id, "the receipt is not that of the last blob that was sent on this connection");
  return true;
}

void Blobs::pass(Connection& to, protocol::RequestId id, BlobId blob) {
  do {
    to.receipt = sip_hash(receipt_key(context_.settings.hash_secret), static_cast<std::uint64_t>(to.id), ++to.blobs_passed);
  } while (to.receipt == 0);
  passed_ = true;
  context_.send_with(blob, {to.id, id}, protocol::Blob{static_cast<std::uint64_t>(blob), store_.size(blob), to.receipt, store_.is_file(blob)});
}

void Blobs::end_loan(BlobId blob) {
  const auto found = loans_.find(blob);
  if (--found->second == 0) loans_.erase(found);
  drop_hold(blob);
}

void Blobs::drop_hold(BlobId blob) {
  store_.release(blob);
  if (store_.size(blob) == 0) outside_.erase(blob);
}

std::uint64_t Blobs::part_bytes_max() const { return std::min(context_.settings.part_bytes_max, limits::part_bytes_max); }

void Blobs::check_invariants() const {
  std::size_t reserved = 0;
  std::size_t waiting = 0;
  std::map<std::uint32_t, std::uint64_t> of_users;
  std::unordered_map<BlobId, std::size_t> of_blobs;
  for (const auto& [id, connection] : connections_.all()) {
    std::size_t loans = 0;
    for (const auto& [blob, times] : connection.lent) {
      ONCED_ASSERT(times > 0 && store_.size(blob) > 0);
      loans += times;
      of_blobs[blob] += times;
    }
    for (const BlobId blob : connection.reserved) ONCED_ASSERT(store_.size(blob) > 0 && outside_.contains(blob));
    ONCED_ASSERT(loans == connection.loans);
    std::uint64_t bytes = 0;
    for (const BlobId blob : connection.reserved) bytes += store_.charged(blob);
    ONCED_ASSERT(bytes == connection.reserved_bytes);
    if (bytes > 0) of_users[connection.process.uid] += bytes;
    ONCED_ASSERT(!connection.gone || connection.blobs() == 0);
    reserved += connection.reserved.size();
    waiting += connection.reserving.size();
  }
  ONCED_ASSERT(waiting <= postponed_.size());  // of connections that went, some are still to be forgotten
  ONCED_ASSERT(reserved == reserved_ && claimed_.empty() && of_users == reserved_bytes_);
  ONCED_ASSERT(of_blobs == loans_);
  for (const BlobId blob : outside_) ONCED_ASSERT(store_.size(blob) > 0);
}

}  // namespace onced::engine
