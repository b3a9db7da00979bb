#include "fake_blob_store.hpp"

namespace onced::engine {

FakeBlobStore::FakeBlobStore() = default;

FakeBlobStore::~FakeBlobStore() = default;

Result<BlobId> FakeBlobStore::create(std::uint64_t bytes) {
  if (create_fails) return *create_fails;
  if (usage().count >= count_max) return Error{ErrorCode::limit_reached, "too many blobs"};
  const BlobId id{++last_};
  blobs[id] = Blob{.bytes = bytes};
  return id;
}

Result<void> FakeBlobStore::examine(BlobId blob) {
  if (unsealed.contains(blob)) return Error{ErrorCode::malformed, "the blob is not sealed"};
  ONCED_ASSERT(!std::exchange(blobs.at(blob).examined, true));
  return {};
}

void FakeBlobStore::hold(BlobId blob) { ++blobs.at(blob).holds; }

void FakeBlobStore::release(BlobId blob) {
  Blob& released = blobs.at(blob);
  if (--released.holds > 0) return;
  if (slow_close) closing.push_back(charged(blob));
  blobs.erase(blob);
  files.erase(blob);
}

std::uint64_t FakeBlobStore::size(BlobId blob) const {
  const auto found = blobs.find(blob);
  return found == blobs.end() ? 0 : found->second.bytes;
}

std::uint64_t FakeBlobStore::charged(BlobId blob) const { return files.contains(blob) ? 0 : size(blob); }

bool FakeBlobStore::is_file(BlobId blob) const { return files.contains(blob); }

FakeBlobStore::Usage FakeBlobStore::usage() const {
  Usage usage{.count = blobs.size() + closing.size(), .closing_count = closing.size(), .count_max = count_max};
  for (const std::uint64_t bytes : closing) usage.closing_bytes += bytes;
  usage.charged_bytes = usage.closing_bytes;
  for (const auto& [id, blob] : blobs) usage.charged_bytes += charged(id);
  usage.file_count = files.size();
  return usage;
}

}  // namespace onced::engine
