// A file system whose disk hangs, or fails, when the test says so.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "disk/files.hpp"

namespace onced::testing {

// Where every change waits while the gate is shut, or fails while it is broken; reads too if they are gated.
struct FileGate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = true;
  int waiting = 0;
  std::atomic<bool> broken{false};
  std::atomic<bool> gates_reads{false};

  void pass() {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.notify_all();
    while (!open) changed.wait_for(lock, std::chrono::milliseconds(50));
    --waiting;
  }
  void shut() {
    const std::lock_guard lock(mutex);
    open = false;
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  void wait_until_somebody_waits() {
    std::unique_lock lock(mutex);
    while (waiting == 0) changed.wait_for(lock, std::chrono::milliseconds(50));
  }
};

class GatedFile final : public disk::File {
 public:
  GatedFile(std::unique_ptr<disk::File> file, FileGate& gate) : file_(std::move(file)), gate_(gate) {}
  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) const override {
    if (gate_.gates_reads) gate_.pass();
    if (gate_.gates_reads && gate_.broken) return Error{ErrorCode::unavailable, "broken"};
    return file_->read(into, offset);
  }
  Result<void> write(std::span<const std::byte> bytes, std::uint64_t offset) override {
    gate_.pass();
    if (gate_.broken) return Error{ErrorCode::unavailable, "broken"};
    return file_->write(bytes, offset);
  }
  Result<void> sync() override { return file_->sync(); }
  Result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }
  Result<std::uint64_t> size() const override { return file_->size(); }

 private:
  std::unique_ptr<disk::File> file_;
  FileGate& gate_;
};

class GatedFiles final : public disk::FileSystem {
 public:
  GatedFiles(std::unique_ptr<disk::FileSystem> files, FileGate& gate) : files_(std::move(files)), gate_(gate) {}
  Result<Status> status(const std::string& path) const override { return files_->status(path); }
  Result<std::vector<std::string>> list(const std::string& path) const override { return files_->list(path); }
  Result<std::unique_ptr<disk::File>> open(const std::string& path, bool writable) override { return gated(files_->open(path, writable)); }
  Result<std::unique_ptr<disk::File>> create(const std::string& path) override { return gated(files_->create(path)); }
  Result<void> make_directory(const std::string& path) override { return files_->make_directory(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return files_->rename(from, to); }
  Result<void> remove(const std::string& path) override { return files_->remove(path); }
  Result<void> sync_directory(const std::string& path) override { return files_->sync_directory(path); }
  Result<std::unique_ptr<disk::Lock>> lock(const std::string& path) override { return files_->lock(path); }

 private:
  Result<std::unique_ptr<disk::File>> gated(Result<std::unique_ptr<disk::File>> file) {
    if (!file) return file;
    return std::unique_ptr<disk::File>(std::make_unique<GatedFile>(std::move(*file), gate_));
  }
  std::unique_ptr<disk::FileSystem> files_;
  FileGate& gate_;
};

}  // namespace onced::testing
