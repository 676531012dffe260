//! What visitors do on each page of the shop, and where it leads.
//!
//! The percentages make a funnel: each step has fewer visits than the one before. Rules that the data must keep are here too:
//! searching leads to the results, only a product page fills the cart, only a filled cart is checked out, and a visit pays once.

use rand::Rng;

use super::session::{Session, pick};
use super::world::{self, Element, Page, PageKind};

impl Session<'_> {
    /// Does what the page offers until something leads on; none when the visitor leaves.
    pub(super) fn act(&mut self) -> Option<&'static Page> {
        match self.page.kind {
            PageKind::Home => self.leave_or(18, Self::on_home),
            PageKind::Catalogue => self.leave_or(15, Self::on_catalogue),
            PageKind::Category => self.leave_or(15, Self::on_category),
            PageKind::Search => self.leave_or(20, Self::on_search),
            PageKind::Product => self.on_product(),
            PageKind::Cart => self.on_cart(),
            PageKind::Checkout => self.leave_or(22, |session| session.submit(world::SHIPPING_FORM, &world::PAYMENT)),
            PageKind::Payment => self.leave_or(18, Self::pay),
            PageKind::Confirmation => {
                let (to_account, to_shop) = (self.chance(20), self.chance(10));
                if to_account {
                    return self.click(world::NAV_ACCOUNT, &world::ACCOUNT);
                }
                if to_shop { self.click(world::NAV_PRODUCTS, &world::PRODUCTS) } else { None }
            }
            PageKind::Account => self.on_account(),
        }
    }

    fn leave_or(
        &mut self,
        percent: u32,
        stay: impl FnOnce(&mut Self) -> Option<&'static Page>,
    ) -> Option<&'static Page> {
        if self.chance(percent) { None } else { stay(self) }
    }

    fn click(&mut self, element: Element, to: &'static Page) -> Option<&'static Page> {
        self.wait(50);
        self.emit("click", Some(element));
        Some(to)
    }

    fn submit(&mut self, form: Element, to: &'static Page) -> Option<&'static Page> {
        self.wait(80);
        self.emit("form_submit", Some(form));
        Some(to)
    }

    fn search(&mut self) -> Option<&'static Page> {
        let term = *pick(self.rng, &world::SEARCH_TERMS);
        self.wait(40);
        self.emit("search", Some((world::SEARCH_BOX, term)));
        Some(&world::SEARCH)
    }

    fn on_home(&mut self) -> Option<&'static Page> {
        match self.rng.random_range(0..100) {
            0..62 => self.click(world::NAV_PRODUCTS, &world::PRODUCTS),
            62..92 => self.search(),
            _ => self.click(world::NAV_ACCOUNT, &world::ACCOUNT),
        }
    }

    fn on_catalogue(&mut self) -> Option<&'static Page> {
        if self.chance(20) {
            return self.search();
        }
        // Electronics is where the products are.
        let category = usize::from(self.chance(30));
        self.click(world::LINK_CATEGORY[category], &world::CATEGORIES[category])
    }

    fn on_category(&mut self) -> Option<&'static Page> {
        let sells_products = self.page == &world::CATEGORIES[0];
        match self.rng.random_range(0..100) {
            0..15 => self.search(),
            15..30 => self.click(world::NAV_PRODUCTS, &world::PRODUCTS),
            _ if sells_products => self.look_at_a_product(),
            _ => self.click(world::LINK_CATEGORY[0], &world::CATEGORIES[0]),
        }
    }

    fn on_search(&mut self) -> Option<&'static Page> {
        if self.chance(25) { self.search() } else { self.look_at_a_product() }
    }

    fn look_at_a_product(&mut self) -> Option<&'static Page> {
        let item = pick(self.rng, &world::ITEMS);
        self.click(world::VIEW_DETAILS, item)
    }

    fn on_product(&mut self) -> Option<&'static Page> {
        if self.chance(38) {
            self.wait(40);
            self.emit("add_to_cart", Some(world::ADD_TO_CART));
            self.cart += 1;
        }
        match (self.cart > 0, self.rng.random_range(0..100)) {
            (true, 0..65) => self.click(world::NAV_CART, &world::CART),
            (false, 0..4) => self.click(world::NAV_CART, &world::CART),
            (_, 65..85) => self.click(world::NAV_PRODUCTS, &world::PRODUCTS),
            (false, 4..35) => self.click(world::NAV_HOME, &world::HOME),
            _ => None,
        }
    }

    fn on_cart(&mut self) -> Option<&'static Page> {
        while self.cart > 0 && self.chance(12) {
            self.wait(30);
            self.emit("remove_from_cart", Some(world::REMOVE));
            self.cart -= 1;
        }
        match (self.cart > 0 && !self.bought, self.rng.random_range(0..100)) {
            (true, 0..62) => {
                self.wait(40);
                self.emit("checkout_start", Some(world::START_CHECKOUT));
                Some(&world::CHECKOUT)
            }
            (_, 62..82) => self.click(world::NAV_PRODUCTS, &world::PRODUCTS),
            _ => None,
        }
    }

    fn pay(&mut self) -> Option<&'static Page> {
        self.wait(80);
        self.emit("purchase", Some(world::PAY));
        self.bought = true;
        self.cart = 0;
        Some(&world::CONFIRMATION)
    }

    fn on_account(&mut self) -> Option<&'static Page> {
        if self.chance(35) {
            self.wait(60);
            self.emit("form_submit", Some(world::PROFILE_FORM));
        }
        if self.chance(45) { self.click(world::NAV_HOME, &world::HOME) } else { None }
    }
}
