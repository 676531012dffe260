//! The shop of the demo: its pages and what can be done on them, its visitors' devices, campaigns and places.
//!
//! Constants only. Addresses are from the range that is reserved for documentation, so they belong to nobody.

/// What a page is for, which decides what a visitor can do on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    Home,
    Catalogue,
    Category,
    Product,
    Cart,
    Checkout,
    Payment,
    Confirmation,
    Search,
    Account,
}

/// One page of the shop.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) url: &'static str,
    pub(super) title: &'static str,
    /// How long a visitor stays, on average.
    pub(super) typical_secs: i64,
    pub(super) kind: PageKind,
}

const fn page(url: &'static str, title: &'static str, typical_secs: i64, kind: PageKind) -> Page {
    Page { url, title, typical_secs, kind }
}

pub(super) static HOME: Page = page("/", "Home", 15, PageKind::Home);
pub(super) static PRODUCTS: Page = page("/products", "Products", 30, PageKind::Catalogue);
pub(super) static CATEGORIES: [Page; 2] = [
    page("/products/electronics", "Electronics", 45, PageKind::Category),
    page("/products/clothing", "Clothing", 60, PageKind::Category),
];
pub(super) static ITEMS: [Page; 2] = [
    page("/product/laptop-pro-15", "Laptop Pro 15", 90, PageKind::Product),
    page("/product/smartphone-x", "Smartphone X", 75, PageKind::Product),
];
pub(super) static CART: Page = page("/cart", "Shopping Cart", 30, PageKind::Cart);
pub(super) static CHECKOUT: Page = page("/checkout", "Checkout", 60, PageKind::Checkout);
pub(super) static PAYMENT: Page = page("/checkout/payment", "Payment", 45, PageKind::Payment);
pub(super) static CONFIRMATION: Page = page("/order/confirmation", "Order Confirmation", 20, PageKind::Confirmation);
pub(super) static SEARCH: Page = page("/search", "Search Results", 25, PageKind::Search);
pub(super) static ACCOUNT: Page = page("/account", "My Account", 30, PageKind::Account);

/// An element of a page: id and visible text.
pub(super) type Element = (&'static str, &'static str);

pub(super) const NAV_HOME: Element = ("nav-home", "Home");
pub(super) const NAV_PRODUCTS: Element = ("nav-products", "View Products");
pub(super) const NAV_CART: Element = ("nav-cart", "Cart");
pub(super) const NAV_ACCOUNT: Element = ("nav-account", "My Account");
pub(super) const LINK_CATEGORY: [Element; 2] = [("link-category", "Electronics"), ("link-category", "Clothing")];
pub(super) const VIEW_DETAILS: Element = ("btn-view-details", "See Details");
pub(super) const ADD_TO_CART: Element = ("btn-add-cart", "Add to Cart");
pub(super) const REMOVE: Element = ("btn-remove", "Remove");
pub(super) const START_CHECKOUT: Element = ("btn-checkout", "Checkout");
pub(super) const SHIPPING_FORM: Element = ("form-shipping", "Continue to Payment");
pub(super) const PAY: Element = ("btn-pay", "Pay Now");
pub(super) const PROFILE_FORM: Element = ("form-profile", "Save");
pub(super) const SEARCH_BOX: &str = "search-input";
pub(super) const SEARCH_TERMS: [&str; 4] = ["laptop", "smartphone", "headphones", "camera"];

/// A kind of device with its screen in CSS pixels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) kind: &'static str,
    pub(super) browser: &'static str,
    pub(super) os: &'static str,
    pub(super) screen: (i32, i32),
}

const fn device(kind: &'static str, browser: &'static str, os: &'static str, screen: (i32, i32)) -> Device {
    Device { kind, browser, os, screen }
}

pub(super) static DEVICES: [Device; 6] = [
    device("desktop", "Chrome", "Windows", (1920, 1080)),
    device("desktop", "Firefox", "Windows", (1920, 1080)),
    device("desktop", "Safari", "MacOS", (2560, 1440)),
    device("mobile", "Chrome Mobile", "Android", (412, 915)),
    device("mobile", "Safari Mobile", "iOS", (390, 844)),
    device("tablet", "Safari", "iOS", (1024, 1366)),
];

/// Where a visit came from. Direct visits have no campaign and no referrer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Campaign {
    pub(super) source: Option<&'static str>,
    pub(super) medium: Option<&'static str>,
    pub(super) name: Option<&'static str>,
    /// The page outside that linked to the shop.
    pub(super) referrer: &'static str,
    /// How many of a hundred visits come this way.
    pub(super) percent: u32,
}

const fn campaign(
    parts: [&'static str; 2],
    name: Option<&'static str>,
    referrer: &'static str,
    percent: u32,
) -> Campaign {
    Campaign { source: Some(parts[0]), medium: Some(parts[1]), name, referrer, percent }
}

pub(super) static CAMPAIGNS: [Campaign; 5] = [
    campaign(["google", "cpc"], Some("winter_sale_2025"), "https://google.com", 30),
    campaign(["facebook", "social"], Some("product_launch"), "https://facebook.com", 20),
    campaign(["email", "newsletter"], Some("weekly_deals"), "", 15),
    campaign(["organic", "organic"], None, "https://google.com", 20),
    Campaign { source: None, medium: None, name: None, referrer: "", percent: 15 },
];

/// Where a visitor is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) ip: &'static str,
    pub(super) country: &'static str,
    pub(super) city: &'static str,
}

const fn location(ip: &'static str, country: &'static str, city: &'static str) -> Location {
    Location { ip, country, city }
}

pub(super) static LOCATIONS: [Location; 5] = [
    location("203.0.113.10", "US", "New York"),
    location("203.0.113.11", "US", "San Francisco"),
    location("203.0.113.12", "GB", "London"),
    location("203.0.113.13", "DE", "Berlin"),
    location("203.0.113.14", "JP", "Tokyo"),
];
