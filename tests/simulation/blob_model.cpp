#include "blob_model.hpp"

#include <fcntl.h>

#include <algorithm>

namespace onced::simulation {

using engine::BlobId;
using engine::ConnectionId;
using engine::RecordRef;

namespace {

constexpr std::uint64_t page_bytes = 4096;

std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + page_bytes - 1) / page_bytes * page_bytes; }

}  // namespace

std::set<std::uint64_t> blobs_in(const Parts& parts) {
  std::set<std::uint64_t> blobs;
  for (const protocol::Part& part : parts)
    if (part.blob != 0) blobs.insert(part.blob);
  return blobs;
}

// ---- what a step begins with ----------------------------------------------------------------------------------------

bool BlobModel::is_receipt(ConnectionId connection, std::uint64_t receipt) const {
  const auto last = receipts_.find(connection);
  return receipt == (last == receipts_.end() ? 0 : last->second);
}

void BlobModel::claim(ConnectionId connection, const Parts& parts) {
  claimed_.clear();
  for (const std::uint64_t blob : blobs_in(parts))
    if (reserved_[connection].erase(blob) != 0) claimed_.insert(blob);
}

std::optional<ErrorCode> BlobModel::refusal_of(const Parts& parts) const {
  std::set<std::string> names;
  for (const protocol::Part& part : parts) {
    if (!names.insert(part.name).second) return ErrorCode::invalid_argument;
    if (part.blob == 0) continue;
    if (!claimed_.contains(part.blob) || part.offset % 64 != 0) return ErrorCode::invalid_argument;
    const std::uint64_t size = blobs_.size(BlobId{part.blob});
    if (part.offset >= size || part.length > size - part.offset) return ErrorCode::invalid_argument;
  }
  for (const std::uint64_t blob : claimed_) {
    const int seals = ::fcntl(blobs_.descriptor(BlobId{blob})->get(), F_GET_SEALS);
    if ((seals & F_SEAL_WRITE) == 0) return ErrorCode::malformed;
  }
  return std::nullopt;
}

void BlobModel::released(ConnectionId connection, const std::vector<std::uint64_t>& blobs) {
  for (const std::uint64_t blob : blobs) {
    if (reserved_[connection].erase(blob) != 0) continue;
    const auto loan = lent_[connection].find(blob);
    if (loan != lent_[connection].end() && --loan->second == 0) lent_[connection].erase(loan);
  }
}

void BlobModel::connection_ends(ConnectionId connection) {
  reserved_.erase(connection);
  lent_.erase(connection);
}

void BlobModel::adopted(const Parts& parts) {
  for (const std::uint64_t blob : blobs_in(parts)) {
    from_disk_.insert(blob);
    charges_[blob] = whole_pages(blobs_.size(BlobId{blob}));
  }
}

bool BlobModel::has_no_places_for(std::size_t places) const { return not_to_evict_ + places > blobs_.usage().count_max; }

bool BlobModel::was_too_much(const Parts& parts, std::size_t places) const {
  if (count_ + places > blobs_.usage().count_max) return true;
  std::uint64_t bytes = charged_bytes_;
  for (const std::uint64_t blob : blobs_in(parts)) bytes += charges_.at(blob);
  return bytes > schedule_.profile.settings.blob_bytes_max;
}

bool BlobModel::is_too_much(const Parts& parts) const {
  std::uint64_t bytes = not_to_evict_bytes_;
  for (const std::uint64_t blob : blobs_in(parts)) bytes += charges_.at(blob);
  return bytes > schedule_.profile.settings.blob_bytes_max;
}

// ---- what it answered -----------------------------------------------------------------------------------------------

const protocol::Blob* BlobModel::blob_of(ConnectionId connection, const engine::Send& send) {
  const auto* blob = std::get_if<protocol::Blob>(&send.reply);
  if (blob == nullptr) return nullptr;
  require(send.blob == BlobId{blob->blob} && blobs_.descriptor(send.blob) != nullptr, "a blob without its descriptor");
  require(blob->bytes == blobs_.size(send.blob), "a blob of another size than the answer says");
  require(blob->receipt != 0 && blob->receipt != receipts_[connection], "a receipt that was known before");
  receipts_[connection] = blob->receipt;
  passed_ = true;
  return blob;
}

void BlobModel::reserved(ConnectionId connection, const protocol::Reserve& request, const engine::Send& send, bool is_weighed) {
  const engine::Settings& settings = schedule_.profile.settings;
  const bool is_sensible = request.bytes != 0 && request.bytes <= settings.part_bytes_max;
  if (const protocol::Blob* blob = blob_of(connection, send)) {
    require(is_sensible && blob->bytes == request.bytes, "a reservation of another size, or that should have been refused");
    reserved_[connection].insert(blob->blob);
    charges_[blob->blob] = whole_pages(blob->bytes);
    return;
  }
  const auto* refused = std::get_if<protocol::Refused>(&send.reply);
  require(refused != nullptr, "a reservation was answered with something else");
  switch (refused->code) {
    case ErrorCode::invalid_argument: return require(request.bytes == 0, "a reservation was refused as malformed");
    case ErrorCode::too_large: return require(request.bytes > settings.part_bytes_max, "a reservation was refused as too large");
    case ErrorCode::out_of_memory: {
      const bool has_room_without_all = not_to_evict_bytes_ + request.bytes <= settings.blob_bytes_max;
      // For a large one, or one more of many, others are only evicted when it is worth it.
      std::uint64_t reserved = 0;
      for (const std::uint64_t blob : reserved_[connection]) reserved += charges_.at(blob);
      const bool is_large = reserved + request.bytes > settings.blob_bytes_max / 4;
      return require(!has_room_without_all || (is_large && is_weighed && !has_room_for(request)), "a reservation was refused though there is room, or could be");
    }
    case ErrorCode::limit_reached:
      return require(not_to_evict_ >= blobs_.usage().count_max, "a reservation was refused though there may be more blobs");
    default: throw Violation("a reservation was refused with " + refused->text);
  }
}

void BlobModel::fetched(ConnectionId connection, const protocol::Fetch& request, const engine::Send& send) {
  const bool may_have_it = ever_placed_.contains(request.blob) || lent_[connection].contains(request.blob);
  if (const protocol::Blob* blob = blob_of(connection, send)) {
    require(blob->blob == request.blob, "another blob than was asked for");
    return require(may_have_it, "a blob was given to somebody who may not have it");
  }
  require(std::holds_alternative<protocol::Refused>(send.reply), "a fetch was answered with something else");
  require(!may_have_it || !exists(request.blob), "a blob was not given to somebody who may have it");
}

void BlobModel::lent(ConnectionId connection, const Parts& parts) {
  for (const std::uint64_t blob : blobs_in(parts)) ++lent_[connection][blob];
}

// ---- records --------------------------------------------------------------------------------------------------------

void BlobModel::placed(RecordRef record, const Parts& parts) {
  retired_.erase(record);  // its memory has been reclaimed
  const std::set<std::uint64_t> blobs = blobs_in(parts);
  ever_placed_.insert(blobs.begin(), blobs.end());
  if (!blobs.empty()) records_[record] = blobs;
}

void BlobModel::retired(RecordRef record) {
  const auto found = records_.find(record);
  if (found == records_.end()) return;
  retired_[record] = {std::move(found->second), std::nullopt};
  records_.erase(found);
}

// ---- checks ---------------------------------------------------------------------------------------------------------

bool BlobModel::is_lent(std::uint64_t blob) const {
  return std::any_of(lent_.begin(), lent_.end(), [&](const auto& one) { return one.second.contains(blob); });
}

void BlobModel::check(const std::set<std::uint64_t>& live) {
  claimed_.clear();
  std::set<std::uint64_t> all;  // that must be there
  const auto must_exist = [&](std::uint64_t blob, const char* text) {
    require(exists(blob), text);
    all.insert(blob);
  };
  for (const auto& [connection, blobs] : reserved_)
    for (const std::uint64_t blob : blobs) must_exist(blob, "a reserved blob was freed");
  for (const auto& [connection, loans] : lent_)
    for (const auto& [blob, times] : loans) must_exist(blob, "a blob was freed while it is lent");
  check_retired();
  for (const std::uint64_t blob : pinned_live()) must_exist(blob, "a blob was freed while a reader pins its record");
  for (const auto& [record, one] : retired_)
    for (const std::uint64_t blob : one.blobs)
      if (exists(blob)) all.insert(blob);

  passed_ = false;
  not_to_evict_ = all.size();
  not_to_evict_bytes_ = 0;
  for (const std::uint64_t blob : all) not_to_evict_bytes_ += charges_.at(blob);
  for (const std::uint64_t blob : live) must_exist(blob, "a blob was freed though a value has it");

  const auto usage = blobs_.usage();
  if (usage.count != all.size()) throw Violation(std::to_string(usage.count) + " blobs are there, and " + std::to_string(all.size()) + " should be");
  std::uint64_t charged = 0;
  for (const std::uint64_t blob : all) charged += charges_.at(blob);
  if (usage.charged_bytes != charged) throw Violation("the blobs are charged " + std::to_string(usage.charged_bytes) + " bytes and not " + std::to_string(charged));
  charged_bytes_ = charged;
  count_ = all.size();
  std::uint64_t beyond = 0;  // of values from disk that were not kept, for who waited for them
  for (const std::uint64_t blob : from_disk_)
    if (all.contains(blob) && !ever_placed_.contains(blob)) beyond += charges_.at(blob);
  require(charged < schedule_.profile.settings.blob_bytes_max + page_bytes + beyond, "more memory is charged for blobs than the budget has");
}

// Those of live records that readers pin.
std::set<std::uint64_t> BlobModel::pinned_live() const {
  std::vector<RecordRef> records;
  for (const auto& [record, blobs] : records_) records.push_back(record);
  std::set<std::uint64_t> pinned;
  if (records.empty()) return pinned;
  const std::vector<std::uint32_t> pins = store_.pins(records);
  for (std::size_t i = 0; i < records.size(); ++i)
    if (pins[i] > 0) pinned.insert(records_.at(records[i]).begin(), records_.at(records[i]).end());
  return pinned;
}

// Those that are pinned have their blobs; those that are not lose them, in the step that retired them or soon after.
void BlobModel::check_retired() {
  if (retired_.empty()) return;
  std::vector<RecordRef> records;
  for (const auto& [record, one] : retired_) records.push_back(record);
  const std::vector<std::uint32_t> pins = store_.pins(records);
  for (std::size_t i = 0; i < records.size(); ++i) {
    Retired& one = retired_.at(records[i]);
    const bool gone = std::none_of(one.blobs.begin(), one.blobs.end(), [&](std::uint64_t blob) { return exists(blob); });
    if (pins[i] > 0 || (passed_ && !gone)) {
      require(!gone, "a blob was freed while a reader pins its record");
      one.pinned = schedule_.now;
    } else if (!gone) {
      const bool lent = std::any_of(one.blobs.begin(), one.blobs.end(), [&](std::uint64_t blob) { return is_lent(blob); });
      const bool late = !one.pinned || schedule_.now >= *one.pinned + std::chrono::seconds(1);
      require(lent || !late, "a blob that nobody uses any more stays");
    } else {
      retired_.erase(records[i]);
    }
  }
}

}  // namespace onced::simulation
