// A blob store without memory: which blobs there are, who holds them, and whether their client has sealed them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "engine/blob_store.hpp"

namespace onced::engine {

class FakeBlobStore final : public BlobStore {
 public:
  FakeBlobStore();
  ~FakeBlobStore() override;

  // What a test sets --------------------------------------------------------------------------------------------------
  std::uint64_t count_max = 1000;
  std::set<BlobId> unsealed;                // examine() finds them so
  std::optional<Error> create_fails;
  bool slow_close = false;                  // what is released counts as closing until the test clears `closing`
  std::vector<std::uint64_t> closing;       // their bytes
  std::set<BlobId> files;                   // what is a file, not memory

  // What a test looks at ----------------------------------------------------------------------------------------------
  struct Blob {
    std::uint64_t bytes = 0;
    std::uint32_t holds = 1;
    bool examined = false;
  };
  std::map<BlobId, Blob> blobs;

  Result<BlobId> create(std::uint64_t bytes) override;
  Result<void> examine(BlobId blob) override;
  void hold(BlobId blob) override;
  void release(BlobId blob) override;
  std::uint64_t size(BlobId blob) const override;
  std::uint64_t charged(BlobId blob) const override;
  bool is_file(BlobId blob) const override;
  Usage usage() const override;

 private:
  std::uint64_t last_ = 16;
};

}  // namespace onced::engine
