#include "part_table.hpp"

#include <algorithm>
#include <utility>

namespace onced::client_detail {

PartTable::~PartTable() {
  for (View* view = views_.load(std::memory_order_relaxed); view != nullptr;) delete std::exchange(view, view->next);
  if (lent_.empty() || given_back_.load(std::memory_order_relaxed) || process_ != Process::current()) return;
  lender_->channel.release_blobs(lent_);
}

void PartTable::add(std::string_view name, std::string_view content_type, PrivateMemory memory, std::size_t used) {
  own_.push_back({std::string(name), std::string(content_type), std::move(memory), used, 0, 0, 0});
}

void PartTable::add_in_blob(std::string_view name, std::string_view content_type, std::uint64_t blob, std::uint64_t offset,
                            std::uint64_t length) {
  own_.push_back({std::string(name), std::string(content_type), {}, 0, blob, offset, length});
}

void PartTable::add_view(std::uint64_t blob, BlobView view) { push(blob, std::move(view)); }

// Under adding_, or before anybody else has it.
void PartTable::push(std::uint64_t blob, BlobView view) const {
  views_.store(new View{blob, std::move(view), views_.load(std::memory_order_relaxed)}, std::memory_order_release);
}

void PartTable::lent_over(AttachmentRef attachment) {
  for (const OwnPart& part : own_) {
    if (part.blob != 0 && std::find(lent_.begin(), lent_.end(), part.blob) == lent_.end()) lent_.push_back(part.blob);
  }
  if (!lent_.empty()) lender_ = std::move(attachment);
}

std::size_t PartTable::count() const { return record_ != nullptr ? record_->part_count : own_.size(); }

std::optional<protocol::SegmentReader::PartView> PartTable::entry(std::size_t number) const {
  if (record_ != nullptr) return pinned_in_->reader().part(record_, number);
  if (number >= own_.size()) return std::nullopt;
  const OwnPart& part = own_[number];
  const std::uint64_t length = part.blob == 0 ? part.used : part.length;
  return protocol::SegmentReader::PartView{part.name, part.content_type, part.memory.bytes().first(part.used), part.blob, part.offset, length};
}

std::optional<std::size_t> PartTable::find(std::string_view name) const {
  if (record_ != nullptr) return pinned_in_->reader().find_part(record_, name);
  const auto found = std::find_if(own_.begin(), own_.end(), [name](const OwnPart& part) { return part.name == name; });
  if (found == own_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - own_.begin());
}

PartInfo PartTable::info(std::size_t number) const {
  const auto part = entry(number);
  if (!part) return {};
  return {part->name, part->content_type, part->length, part->blob != 0};
}

Result<Part> PartTable::part(std::string_view name, Milliseconds within) const {
  if (const auto number = find(name)) return part(*number, within);
  constexpr std::size_t names_told_max = 16;
  std::string names;
  const std::size_t all = count();
  for (std::size_t number = 0; number < std::min(all, names_told_max); ++number) {
    names += (names.empty() ? "\"" : ", \"") + std::string(info(number).name) + "\"";
  }
  if (all > names_told_max) names += " and " + std::to_string(all - names_told_max) + " more";
  return Error{ErrorCode::not_found, "the value has no part \"" + std::string(name) + "\"; it has " + names};
}

Result<Part> PartTable::part(std::size_t number, Milliseconds within) const {
  const auto part = entry(number);
  if (!part) {
    return Error{ErrorCode::not_found, "the value has no part number " + std::to_string(number) + "; it has " + std::to_string(count()) + " parts"};
  }
  if (part->blob == 0) return Part{part->name, part->content_type, part->bytes};
  const auto whole = bytes_of(part->blob, within);
  if (!whole) return whole.error();
  if (part->offset > whole->size() || part->length > whole->size() - part->offset) {
    return Error{ErrorCode::malformed, "part \"" + std::string(part->name) + "\" does not lie within its memory"};
  }
  return Part{part->name, part->content_type, whole->subspan(part->offset, part->length)};
}

std::optional<std::span<const std::byte>> PartTable::viewed(std::uint64_t blob) const {
  for (const View* view = views_.load(std::memory_order_acquire); view != nullptr; view = view->next) {
    if (view->blob == blob) return view->view.bytes();
  }
  return std::nullopt;
}

Result<std::span<const std::byte>> PartTable::bytes_of(std::uint64_t blob, Milliseconds within) const {
  if (const auto bytes = viewed(blob)) return *bytes;
  Attachment* const attachment = record_ != nullptr ? pinned_in_ : lender_.get();
  if (attachment == nullptr) return Error{ErrorCode::internal, "a part of a value was not mapped, and nobody lent it"};
  auto view = attachment->map_blob(blob, within);  // an error in a child
  if (!view) return view.error();
  const std::span<const std::byte> bytes = view->bytes();
  {
    const std::lock_guard lock(adding_);
    if (const auto first = viewed(blob)) return *first;  // another thread was quicker
    push(blob, std::move(*view));
  }
  give_back_if_mapped();
  return bytes;
}

void PartTable::give_back_if_mapped() const {
  if (lent_.empty()) return;
  if (!std::all_of(lent_.begin(), lent_.end(), [this](std::uint64_t blob) { return viewed(blob).has_value(); })) return;
  if (!given_back_.exchange(true, std::memory_order_relaxed)) lender_->channel.release_blobs(lent_);
}

}  // namespace onced::client_detail
