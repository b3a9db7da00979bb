#include "memory/memfd_blob_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "memory/memfd.hpp"
#include "memory/pages.hpp"

namespace onced::memory {

using engine::BlobId;

namespace {

constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int published_seals = size_seals | F_SEAL_WRITE | F_SEAL_SEAL;

Error refused(const char* step, int reason) {
  const ErrorCode code = reason == EMFILE || reason == ENFILE ? ErrorCode::limit_reached : ErrorCode::out_of_memory;
  return {code, std::string("memory for a blob: ") + step + " failed: " + std::strerror(reason)};
}

// Nobody who gets this descriptor can write by it.
Result<void> examine_file(int descriptor, std::uint64_t bytes) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  struct stat status{};
  if (flags < 0 || ::fstat(descriptor, &status) != 0) return Error{ErrorCode::malformed, std::string("no file: ") + std::strerror(errno)};
  if (!S_ISREG(status.st_mode) || (flags & O_ACCMODE) != O_RDONLY) return Error{ErrorCode::malformed, "no file that was opened only to be read"};
  if (static_cast<std::uint64_t>(status.st_size) == bytes) return {};
  return Error{ErrorCode::malformed, "the file has " + std::to_string(status.st_size) + " bytes in place of " + std::to_string(bytes)};
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

std::optional<Error> MemfdBlobStore::no_place(std::uint64_t count) const {
  const std::size_t count_max = std::min(options_.count_max, table_.size());
  if (count < count_max) return std::nullopt;
  return Error{ErrorCode::limit_reached, std::to_string(count) + " blobs >= " + std::to_string(count_max) +
                                             ", what the limit of open files (LimitNOFILE, ulimit -n) and the "
                                             "segment's size allow"};
}

Result<BlobId> MemfdBlobStore::adopt(FileDescriptor sealed, std::uint64_t bytes) { return adopt(std::move(sealed), bytes, false); }
Result<BlobId> MemfdBlobStore::adopt_file(FileDescriptor file, std::uint64_t bytes) { return adopt(std::move(file), bytes, true); }

Result<BlobId> MemfdBlobStore::adopt(FileDescriptor descriptor, std::uint64_t bytes, bool file) {
  if (auto problem = no_place(blobs_.size())) {
    discard(std::move(descriptor), bytes, file);
    return std::move(*problem);
  }
  const BlobId blob = add(std::move(descriptor), bytes, file);
  if (auto examined = examine(blob); !examined) {
    release(blob);
    return examined.error();
  }
  return blob;
}

void MemfdBlobStore::discard(FileDescriptor descriptor, std::uint64_t bytes, bool file) {
  if (!descriptor) return;
  const std::uint64_t charged = Blob{.descriptor = {}, .bytes = bytes, .file = file}.charged();
  closing_->bytes.fetch_add(charged, std::memory_order_relaxed);
  closing_->count.fetch_add(1, std::memory_order_relaxed);
  shared(std::move(descriptor), charged).reset();
}

Result<BlobId> MemfdBlobStore::create(std::uint64_t bytes) {
  if (auto problem = no_place(usage().count)) return std::move(*problem);
  FileDescriptor descriptor = create_memfd("onced-blob");
  if (!descriptor) return refused("memfd_create", errno);
  if (::ftruncate(descriptor.get(), static_cast<off_t>(bytes)) != 0) return refused("ftruncate", errno);
  // Nobody needs to open it by name (/proc/<pid>/fd): the descriptor is the permission.
  if (::fchmod(descriptor.get(), 0) != 0) return refused("fchmod", errno);
  if (::fcntl(descriptor.get(), F_ADD_SEALS, size_seals) != 0) return refused("sealing its size", errno);
  return add(std::move(descriptor), bytes, false);
}

std::uint64_t MemfdBlobStore::Blob::charged() const { return file ? 0 : align_up(bytes, page_bytes); }

BlobId MemfdBlobStore::add(FileDescriptor descriptor, std::uint64_t bytes, bool file) {
  std::uint64_t place = next_;
  if (!free_.empty()) {
    place = free_.back();
    free_.pop_back();
  } else {
    ++next_;
  }
  const std::uint64_t id = ++serial_ * table_.size() + place;
  Blob blob{.descriptor = nullptr, .bytes = bytes, .file = file};
  blob.descriptor = shared(std::move(descriptor), blob.charged());
  charged_bytes_ += blob.charged();
  file_count_ += file ? 1 : 0;
  file_bytes_ += file ? bytes : 0;
  blobs_.emplace(id, std::move(blob));
  return BlobId{id};
}

Result<void> MemfdBlobStore::examine(BlobId id) {
  Blob& blob = at(id);
  if (blob.file) return examine_file(blob.descriptor->get(), blob.bytes);
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
  const std::uint64_t charged = blob.charged();
  charged_bytes_ -= charged;
  file_count_ -= blob.file ? 1 : 0;
  file_bytes_ -= blob.file ? blob.bytes : 0;
  // Before it goes: the one who has its descriptor last, perhaps this erase(), takes it out again.
  closing_->bytes.fetch_add(charged, std::memory_order_relaxed);
  closing_->count.fetch_add(1, std::memory_order_relaxed);
  free_.push_back(static_cast<std::uint32_t>(number & (table_.size() - 1)));
  blobs_.erase(number);
}

std::uint64_t MemfdBlobStore::size(BlobId id) const {
  const auto found = blobs_.find(static_cast<std::uint64_t>(id));
  return found == blobs_.end() ? 0 : found->second.bytes;
}

std::uint64_t MemfdBlobStore::charged(BlobId id) const {
  const auto found = blobs_.find(static_cast<std::uint64_t>(id));
  return found == blobs_.end() ? 0 : found->second.charged();
}

bool MemfdBlobStore::is_file(BlobId id) const {
  const auto found = blobs_.find(static_cast<std::uint64_t>(id));
  return found != blobs_.end() && found->second.file;
}

engine::BlobStore::Usage MemfdBlobStore::usage() const {
  Usage usage;
  usage.closing_bytes = closing_->bytes.load(std::memory_order_relaxed);
  usage.closing_count = closing_->count.load(std::memory_order_relaxed);
  usage.charged_bytes = charged_bytes_ + usage.closing_bytes;
  usage.count = blobs_.size() + usage.closing_count;
  usage.count_max = std::min(options_.count_max, table_.size());
  usage.file_count = file_count_;
  usage.file_bytes = file_bytes_;
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
