CREATE TABLE bronze.landed_files (
  file         STRING    NOT NULL COMMENT 'path inside the landing folder',
  kind         STRING             COMMENT 'events or items; null for a file that is not read',
  format       STRING             COMMENT 'jsonl, csv, parquet or lines; null for a file that is not read',
  folder_day   DATE               COMMENT 'day of its day folder; null outside day folders',
  size         BIGINT    NOT NULL COMMENT 'bytes',
  modified     TIMESTAMP NOT NULL COMMENT 'when the file was last written, UTC',
  content_hash STRING             COMMENT 'SHA-256 of the content; null for a file that is not read',
  reading_hash STRING             COMMENT 'hash of the settings by which it was read (docs/own-logs.md, landing.toml); null: not known, so it is read again',
  status       STRING    NOT NULL COMMENT 'landed: its lines count; reading: a run began to read it and has not succeeded; ignored: not read',
  reason       STRING             COMMENT 'why it is ignored',
  rows         BIGINT             COMMENT 'number of its lines in bronze.raw_events or bronze.raw_items',
  rows_rejected BIGINT            COMMENT 'number of these that are rejected',
  rows_waiting BIGINT             COMMENT 'number of these that are due after counted_to: they wait for the run of their day',
  counted_to   DATE               COMMENT 'last day that was run; the lines that are due up to it are counted',
  earliest_day DATE               COMMENT 'when the file was read, events before this day were too late; null for items',
  run_id       STRING    NOT NULL COMMENT 'run that read the file, see ops.runs',
  day          DATE      NOT NULL COMMENT 'day of that run'
) USING DELTA
  COMMENT 'Every file of the landing folder. A file that is gone stays in the table, and so do its lines.'
