#include "memory/memfd_blob_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "memory/memfd.hpp"

namespace onced::memory {

using engine::BlobId;

namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int published_seals = size_seals | F_SEAL_WRITE | F_SEAL_SEAL;

std::uint64_t whole_pages(std::uint64_t bytes) {
  return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

Error refused(const char* step, int reason) {
  const ErrorCode code = reason == EMFILE || reason == ENFILE ? ErrorCode::limit_reached : ErrorCode::out_of_memory;
  return {code, std::string("memory for a blob: ") + step + " failed: " + std::strerror(reason)};
}

std::string names_of(int seals) {
  std::string names;
  const auto add = [&](int seal, const char* name) {
    if ((seals & seal) != 0) names += names.empty() ? name : std::string(", ") + name;
  };
  add(F_SEAL_WRITE, "F_SEAL_WRITE");
  add(F_SEAL_SEAL, "F_SEAL_SEAL");
  add(F_SEAL_SHRINK, "F_SEAL_SHRINK");
  add(F_SEAL_GROW, "F_SEAL_GROW");
  return names;
}

}  // namespace

MemfdBlobStore::MemfdBlobStore(BlobTable table, BlobOptions options) : table_(table), options_(std::move(options)) {}

MemfdBlobStore::~MemfdBlobStore() = default;

std::optional<Error> MemfdBlobStore::no_place() const {
  const std::size_t count_max = std::min(options_.count_max, table_.size());
  const std::uint64_t count = usage().count;
  if (count < count_max) return std::nullopt;
  return Error{ErrorCode::limit_reached, std::to_string(count) + " blobs >= " + std::to_string(count_max) +
                                             ", what the limit of open files (LimitNOFILE, ulimit -n) and the "
                                             "segment's size allow"};
}

Result<BlobId> MemfdBlobStore::adopt(FileDescriptor sealed, std::uint64_t bytes) {
  if (auto problem = no_place()) return std::move(*problem);
  const BlobId blob = add(std::move(sealed), bytes);
  if (auto examined = examine(blob); !examined) {
    release(blob);
    return examined.error();
  }
  return blob;
}

Result<BlobId> MemfdBlobStore::create(std::uint64_t bytes) {
  if (auto problem = no_place()) return std::move(*problem);
  FileDescriptor descriptor = create_memfd("onced-blob");
  if (!descriptor) return refused("memfd_create", errno);
  if (::ftruncate(descriptor.get(), static_cast<off_t>(bytes)) != 0) return refused("ftruncate", errno);
  // Nobody needs to open it by name (/proc/<pid>/fd): the descriptor is the permission.
  if (::fchmod(descriptor.get(), 0) != 0) return refused("fchmod", errno);
  if (::fcntl(descriptor.get(), F_ADD_SEALS, size_seals) != 0) return refused("sealing its size", errno);
  return add(std::move(descriptor), bytes);
}

BlobId MemfdBlobStore::add(FileDescriptor descriptor, std::uint64_t bytes) {
  std::uint64_t place = next_;
  if (!free_.empty()) {
    place = free_.back();
    free_.pop_back();
  } else {
    ++next_;
  }
  const std::uint64_t id = ++serial_ * table_.size() + place;
  charged_bytes_ += whole_pages(bytes);
  blobs_.emplace(id, Blob{.descriptor = shared(std::move(descriptor), whole_pages(bytes)), .bytes = bytes});
  return BlobId{id};
}

Result<void> MemfdBlobStore::examine(BlobId id) {
  Blob& blob = at(id);
  const int seals = ::fcntl(blob.descriptor->get(), F_GET_SEALS);
  if (seals < 0) return refused("F_GET_SEALS", errno);
  if ((seals & published_seals) != published_seals) {
    return Error{ErrorCode::malformed, "the blob is not sealed: " + names_of(published_seals & ~seals) +
                                           " missing; unmap it, then add the seals, then publish"};
  }
  struct stat status{};
  if (::fstat(blob.descriptor->get(), &status) != 0) return refused("fstat", errno);
  if (static_cast<std::uint64_t>(status.st_size) != blob.bytes) {
    return Error{ErrorCode::malformed, "the blob has " + std::to_string(status.st_size) + " bytes, reserved were " +
                                           std::to_string(blob.bytes)};
  }
  return {};
}

void MemfdBlobStore::hold(BlobId id) { ++at(id).holds; }

void MemfdBlobStore::release(BlobId id) {
  Blob& blob = at(id);
  if (--blob.holds > 0) return;
  ONCED_ASSERT(!blob.listed);
  const auto number = static_cast<std::uint64_t>(id);
  charged_bytes_ -= whole_pages(blob.bytes);
  // Before it goes: the one who has its descriptor last, perhaps this erase(), takes it out again.
  closing_->bytes.fetch_add(whole_pages(blob.bytes), std::memory_order_relaxed);
  closing_->count.fetch_add(1, std::memory_order_relaxed);
  free_.push_back(static_cast<std::uint32_t>(number & (table_.size() - 1)));
  blobs_.erase(number);
}

std::uint64_t MemfdBlobStore::size(BlobId id) const {
  const auto found = blobs_.find(static_cast<std::uint64_t>(id));
  return found == blobs_.end() ? 0 : found->second.bytes;
}

std::uint64_t MemfdBlobStore::charged(BlobId id) const { return whole_pages(size(id)); }

engine::BlobStore::Usage MemfdBlobStore::usage() const {
  Usage usage;
  usage.closing_bytes = closing_->bytes.load(std::memory_order_relaxed);
  usage.closing_count = closing_->count.load(std::memory_order_relaxed);
  usage.charged_bytes = charged_bytes_ + usage.closing_bytes;
  usage.count = blobs_.size() + usage.closing_count;
  usage.count_max = std::min(options_.count_max, table_.size());
  return usage;
}

void MemfdBlobStore::enlist(BlobId id) {
  Blob& blob = at(id);
  ONCED_ASSERT(!blob.listed);  // a blob belongs to one value
  blob.listed = true;
  table_.set(static_cast<std::uint64_t>(id));
}

void MemfdBlobStore::delist(BlobId id) {
  Blob& blob = at(id);
  blob.listed = false;
  table_.clear(static_cast<std::uint64_t>(id));
}

std::shared_ptr<const FileDescriptor> MemfdBlobStore::descriptor(BlobId id) const {
  const auto found = blobs_.find(static_cast<std::uint64_t>(id));
  return found == blobs_.end() ? nullptr : found->second.descriptor;
}

MemfdBlobStore::Blob& MemfdBlobStore::at(BlobId id) {
  const auto found = blobs_.find(static_cast<std::uint64_t>(id));
  ONCED_ASSERT(found != blobs_.end());
  return found->second;
}

std::shared_ptr<const FileDescriptor> MemfdBlobStore::shared(FileDescriptor descriptor, std::uint64_t charged) const {
  return {new FileDescriptor(std::move(descriptor)), [close_later = options_.close_later, closing = closing_, charged](FileDescriptor* last) {
            const std::unique_ptr<FileDescriptor> owned(last);
            const auto closed = [closing, charged] {
              closing->bytes.fetch_sub(charged, std::memory_order_relaxed);
              closing->count.fetch_sub(1, std::memory_order_relaxed);
            };
            if (close_later) return close_later(std::move(*owned), closed);
            *owned = FileDescriptor();
            closed();
          }};
}

}  // namespace onced::memory
