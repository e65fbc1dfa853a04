//! Clients against real servers.

mod influxdb;
mod mqtt;
mod smtp;
mod snmp;
